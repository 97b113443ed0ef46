"""ComposeFiles: the files and options that make a compose project, and what Compose says of its services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from loadstone.errors import UsageError
from loadstone.rig.docker import Docker, DockerError, last_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ComposeFiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeFiles:
    """A project's files. ``folder``: to which their paths are relative, if that is not the first file's."""

    docker: Docker
    project: str
    files: tuple[Path, ...]
    folder: Path | None = None
    env_files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, docker: Docker, files: Sequence[Path]) -> Self:
        """The project that Compose makes of these files here. Raises `UsageError` for files that it cannot read."""
        unnamed = cls(docker=docker, project="", files=tuple(file.absolute() for file in files))
        return cls(docker=docker, project=unnamed.config()["name"], files=unnamed.files)

    def services(self) -> dict[str, Any]:
        """Each service as Compose resolves it with the environment of now. Raises `UsageError`."""
        found: dict[str, Any] = self.config().get("services") or {}
        return found

    def config(self) -> dict[str, Any]:
        """The project as Compose resolves it. Raises `UsageError`."""
        try:
            found: dict[str, Any] = self.docker.json("compose", *self.options(), "config", "--format", "json")
        except DockerError as error:
            raise self._unreadable(error) from error
        return found

    def hash_of(self, service: str) -> str:
        """The hash of a service's configuration, which its containers carry as a label. Raises `UsageError`."""
        try:
            said = self.docker.ask("compose", *self.options(), "config", "--hash", service)
        except DockerError as error:
            raise self._unreadable(error) from error
        return said.split()[-1] if said.split() else ""

    def compose(self, *arguments: str, override: Path | None = None, within_s: float) -> str:
        """Call ``docker compose``; ``override`` is a file that comes after the others."""
        return self.docker.call("compose", *self.options(override), *arguments, within_s=within_s)

    def options(self, override: Path | None = None) -> tuple[str, ...]:
        """What stands between ``docker compose`` and the command."""
        files = (*self.files, *((override,) if override else ()))
        named = ("-p", self.project) if self.project else ()
        folder = ("--project-directory", str(self.folder)) if self.folder else ()
        env_files = (part for file in self.env_files for part in ("--env-file", str(file)))
        return (*named, *folder, *env_files, *(part for file in files for part in ("-f", str(file))))

    def _unreadable(self, error: DockerError) -> UsageError:
        return UsageError(
            f"Compose cannot read {', '.join(map(str, self.files))}: {last_line(error.said)}",
            hint="`docker compose config` with these files has to succeed",
        )
