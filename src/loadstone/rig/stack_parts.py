"""loadstone's own stack among the containers here: its files, what its target serves, and what its balancer got."""

from __future__ import annotations

import csv
import http.client
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.demo import TargetInfo
from loadstone.rig.compose_files import ComposeFiles
from loadstone.rig.docker import DockerError
from loadstone.rig.replica import replicas_of

if TYPE_CHECKING:
    from loadstone.rig.docker import Docker
    from loadstone.rig.replica import Replica

__all__ = ["BALANCER", "TARGET", "balancer_requests", "stack_files", "target_info"]

TARGET: Final = "target"
BALANCER: Final = "balancer"
_MASTER: Final = "locust-master"
_LABEL: Final = "com.docker.compose."
_ASK: Final = r'exec 3<>/dev/tcp/127.0.0.1/{port}; printf "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3; cat <&3'


def stack_files(docker: Docker, project: str | None = None) -> ComposeFiles:
    """The files of the stack that is up, as the labels of its master's container name them.

    Raises `UsageError` where none is up, or several are and ``project`` does not choose one.
    """
    with_target = _projects(docker, TARGET)
    found = {
        name: labels
        for name, labels in _projects(docker, _MASTER).items()
        if name in with_target and project in {None, name}
    }
    if not found:
        named = f" with the name {project}" if project else ""
        raise UsageError(
            f"no compose stack of loadstone{named} is up on this machine",
            hint="Start it with `docker compose up`, or name another project's files and service with --compose-file"
            " and --service",
        )
    if len(found) > 1:
        raise UsageError(
            f"several stacks are up: {', '.join(sorted(found))}", hint="Choose one with COMPOSE_PROJECT_NAME"
        )
    ((name, labels),) = found.items()
    return ComposeFiles(
        docker=docker,
        project=name,
        files=_paths(labels, "project.config_files"),
        folder=Path(labels[f"{_LABEL}project.working_dir"]),
        env_files=_paths(labels, "project.environment_file"),
    )


def _projects(docker: Docker, service: str) -> dict[str, dict[str, str]]:
    """The labels of one running container of the service, by project."""
    filters = ("--filter", f"label={_LABEL}service={service}", "--filter", f"label={_LABEL}oneoff=False")
    ids = docker.ask("ps", "-q", "--no-trunc", *filters).split()
    described = docker.json("container", "inspect", *ids) if ids else []
    found = [each["Config"]["Labels"] for each in described]
    return {labels[f"{_LABEL}project"]: labels for labels in found}


def _paths(labels: dict[str, str], name: str) -> tuple[Path, ...]:
    text = labels.get(_LABEL + name, "")
    return tuple(Path(part) for part in text.split(",") if part)


def target_info(docker: Docker, replica: Replica) -> dict[str, Any]:
    """Model, version and mode as the stack's target tells them, asked inside its container; empty if it does not."""
    try:
        body = _asked(docker, replica, 8000, "/info")
        info = msgspec.json.decode(body, type=TargetInfo)
    except (DockerError, msgspec.MsgspecError):
        return {}
    names = ("model", "version", "alias", "run_id", "mode")
    known = {name: getattr(info, name) for name in names}
    return {name: value for name, value in known.items() if value is not None}


def balancer_requests(docker: Docker, project: str) -> int | None:
    """Requests that the stack's balancers have got for their replicas since they started; None without a balancer.

    Raises `PlatformError` when its statistics cannot be read.
    """
    running = [each for each in replicas_of(docker, project, BALANCER) if each.runs]
    if not running:
        return None
    return sum(_requests_of(docker, balancer) for balancer in running)


def _requests_of(docker: Docker, balancer: Replica) -> int:
    text = _asked(docker, balancer, 8404, "/stats;csv").removeprefix("# ")
    counts = [
        row.get("req_tot")
        for row in csv.DictReader(io.StringIO(text))
        if (row.get("pxname"), row.get("svname")) == ("predictions", "FRONTEND")
    ]
    if len(counts) != 1 or not counts[0]:
        raise PlatformError(f"the statistics of {balancer.name} have no row of its requests")
    return int(counts[0])


def _asked(docker: Docker, replica: Replica, port: int, path: str) -> str:
    """The body of a server's answer inside a container, over its loopback address. Raises `DockerError`."""
    said = docker.ask("exec", replica.id, "bash", "-c", _ASK.format(port=port, path=path))
    answer = http.client.HTTPResponse(_Said(said))  # type: ignore[arg-type]  # it needs no more of a socket
    try:
        answer.begin()
        return answer.read().decode(errors="replace")
    except (http.client.HTTPException, ValueError) as error:
        raise DockerError("docker exec", f"no answer of an HTTP server: {error!r}") from error


class _Said:
    """What a server said, where a socket is read; HAProxy answers in chunks even to HTTP/1.0."""

    def __init__(self, text: str) -> None:
        self._text = text

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._text.encode())
