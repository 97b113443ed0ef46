"""Docker: calls the program ``docker``, and says in one sentence why it cannot be used."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.domain.masking import mask_secrets
from loadstone.errors import PlatformError, UsageError
from loadstone.rig.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    def call(self, *arguments: str, within_s: float, interrupted: Callable[[], bool] = lambda: False) -> str:
        """The standard output of a command. When ``interrupted``, it is ended, and what it said so far is returned.

        Raises `DockerError` when it fails or is not done ``within_s`` seconds, and `UsageError` without Docker.
        """
        command = " ".join(("docker", *arguments[:2]))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._started(arguments, out, err)
            in_time = ended(process, within_s, interrupted)
            out.seek(0)
            err.seek(0)
            said = out.read().decode(errors="replace")
            if not in_time and interrupted():
                return said
            if not in_time:
                raise DockerError(command, f"it was not done within {within_s:g} s")
            if process.returncode:
                raise DockerError(command, err.read().decode(errors="replace"))
        return said

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
            done = subprocess.run(
                [self.program, "logs", "--tail", str(lines), container],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_QUICK_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DockerError("docker logs", str(error)) from error
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

    def _started(self, arguments: tuple[str, ...], out: Any, err: Any) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self.program, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
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
