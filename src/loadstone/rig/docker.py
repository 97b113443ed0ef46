"""Docker: calls the program ``docker``, and says in one sentence why it cannot be used."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.domain.masking import mask_secrets
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Docker", "DockerError", "last_line"]

_QUICK_S: Final = 60.0
_SOCKET: Final = "unix://"


class DockerError(PlatformError):
    """A command failed; ``said`` is what it wrote."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(f"`{command}` failed: {last_line(said)}")
        self.said = said


@dataclass(frozen=True, slots=True)
class Docker:
    """Calls ``program`` in this environment; None: that of this process.

    Commands run in sessions of their own, so that Ctrl-C in the terminal does not end them half-way.
    """

    program: str = "docker"
    environment: Mapping[str, str] | None = None

    def ask(self, *arguments: str) -> str:
        """The standard output of a command that only looks. Raises `DockerError`, and `UsageError` without Docker."""
        return self.call(*arguments, within_s=_QUICK_S)

    def call(self, *arguments: str, within_s: float) -> str:
        """The standard output of a command. Raises `DockerError` when it fails or is not done in time (seconds).

        Nothing but that time breaks it off: Compose leaves half of a container behind then. Raises `UsageError` without
        Docker.
        """
        command = " ".join(("docker", *arguments[:2]))
        try:
            done = self._run(arguments, subprocess.PIPE, within_s)
        except subprocess.TimeoutExpired as error:
            raise DockerError(command, f"it was not done within {within_s:g} s") from error
        if done.returncode:
            raise DockerError(command, done.stderr.decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def json(self, *arguments: str) -> Any:
        """The same for a command that only looks and answers in JSON."""
        said = self.ask(*arguments)
        try:
            return msgspec.json.decode(said)
        except msgspec.MsgspecError as error:
            raise DockerError(" ".join(("docker", *arguments[:2])), f"no JSON: {said[:120]!r}") from error

    def logs(self, container: str, lines: int) -> str:
        """The last lines of a container, of both its outputs. Raises `DockerError`."""
        try:
            done = self._run(("logs", "--tail", str(lines), container), subprocess.STDOUT, _QUICK_S)
        except subprocess.TimeoutExpired as error:
            raise DockerError("docker logs", f"it was not done within {_QUICK_S:g} s") from error
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise DockerError("docker logs", said)
        return said

    def check_answers(self) -> None:
        """Raise `UsageError` where no engine answers, or Compose 2 is missing."""
        cure = "Start it, or name it with DOCKER_HOST"
        try:
            self.ask("version", "--format", "{{.Server.Version}}")
        except DockerError as error:
            raise UsageError(f"the Docker Engine does not answer: {last_line(error.said)}", hint=cure) from error
        try:
            self.ask("compose", "version")
        except DockerError as error:
            raise UsageError("`docker compose` does not work", hint="Install Docker Compose 2.26 or newer") from error

    def socket(self) -> Path:
        """The engine's socket. Raises `UsageError` for an engine on another machine."""
        host = self.ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
        if not host.startswith(_SOCKET):
            raise UsageError(
                f"the Docker Engine is at {mask_secrets(host)}, and CPU and memory are read on its own machine only",
                hint="Start the study on that machine",
            )
        return Path(host.removeprefix(_SOCKET))

    def _run(self, arguments: tuple[str, ...], stderr: int, within_s: float) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self.program, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                timeout=within_s,
                check=False,
            )
        except OSError as error:
            raise UsageError(
                f"the program {self.program} cannot be started: {error.strerror}",
                hint="Install Docker with Compose 2, or give limits by a command of yours with --apply",
            ) from error


def last_line(said: str) -> str:
    """The last line that says something, without secrets."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return mask_secrets(lines[-1]) if lines else "it said nothing"
