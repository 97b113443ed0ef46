"""Replica: one container of a service as the Docker Engine describes it, and what became of one that does not hold."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from loadstone.domain.masking import mask_secrets
from loadstone.rig.docker import DockerError
from loadstone.rig.override import IN_STUDY, MADE_FROM, Limits
from loadstone.usage.docker_engine import cores_of

if TYPE_CHECKING:
    from loadstone.rig.docker import Docker

__all__ = ["Replica", "kills_since", "last_words", "replicas_of", "strain_of"]

_LABEL: Final = "com.docker.compose."
_HALF_MADE: Final = re.compile(r"[0-9a-f]{12}_")
_RUNNING: Final = "running"
_KILLED: Final = 137  # 128 + SIGKILL
_LOG_LINES: Final = 5
_LONGEST_WORDS: Final = 600
_AT_ITS_LIMIT: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One container. ``health`` is empty without a health check.

    ``config_hash`` is that of its service's own configuration; ``in_study``: it has the limits of a study.
    """

    id: str
    name: str
    status: str
    health: str
    restarts: int
    oom_killed: bool
    exit_code: int
    error: str
    limits: Limits
    image: str
    image_id: str
    config_hash: str
    in_study: bool

    @classmethod
    def of(cls, described: dict[str, Any]) -> Self:
        """From what ``docker inspect`` says."""
        state, host, config = described["State"], described["HostConfig"], described["Config"]
        labels = config.get("Labels") or {}
        return cls(
            id=described["Id"],
            name=described["Name"].removeprefix("/"),
            status=state["Status"],
            health=(state.get("Health") or {}).get("Status", ""),
            restarts=described["RestartCount"],
            oom_killed=state["OOMKilled"],
            exit_code=state["ExitCode"],
            error=state.get("Error") or "",
            limits=Limits(
                cpu_cores=cores_of(host), mem_bytes=host["Memory"] or None, memswap_bytes=host["MemorySwap"] or None
            ),
            image=config["Image"],
            image_id=described["Image"],
            config_hash=labels.get(MADE_FROM) or labels.get(f"{_LABEL}config-hash", ""),
            in_study=IN_STUDY in labels,
        )

    @property
    def is_half_made(self) -> bool:
        """Whether Compose made it in another's place and was killed before it gave it that one's name."""
        return _HALF_MADE.match(self.name) is not None

    @property
    def runs(self) -> bool:
        """Whether its first process runs."""
        return self.status == _RUNNING

    @property
    def is_ready(self) -> bool:
        """Whether it runs, and is healthy if it has a health check."""
        return self.runs and self.health in {"", "none", "healthy"}

    @property
    def was_killed(self) -> bool:
        """Whether memory ran out, or its first process was killed, which the kernel does then."""
        return self.oom_killed or self.exit_code == _KILLED

    @property
    def broke(self) -> str:
        """What became of it since it was created; empty as long as it runs as it should."""
        again = f", {self.restarts} restart{'s' if self.restarts > 1 else ''}" if self.restarts else ""
        if self.oom_killed:
            return f"{self.name} ran out of memory while it started{again}"
        if self.restarts or self.status in {"exited", "dead", "restarting"}:
            killed = ", killed" if self.exit_code == _KILLED else ""
            why = f": {self.error}" if self.error else ""
            return f"{self.name} ended while it started (exit {self.exit_code}{killed}{again}){why}"
        return ""


def replicas_of(docker: Docker, project: str, service: str) -> list[Replica]:
    """All containers of a service that `up` made, also those that have ended, by name."""
    labels = {"project": project, "service": service, "oneoff": "False"}
    filters = (part for name, value in labels.items() for part in ("--filter", f"label={_LABEL}{name}={value}"))
    ids = docker.ask("ps", "-aq", "--no-trunc", *filters).split()
    found = (described for id_ in ids for described in _described(docker, id_))
    return sorted(map(Replica.of, found), key=lambda each: each.name)


def _described(docker: Docker, id_: str) -> list[dict[str, Any]]:
    """One container, or none if it has just been removed."""
    try:
        found: list[dict[str, Any]] = docker.json("container", "inspect", id_)
    except DockerError as error:
        if "no such container" in error.said.lower():
            return []
        raise
    return found


def kills_since(docker: Docker, replicas: list[Replica], since_s: float) -> int:
    """Out-of-memory kills inside replicas since then (seconds since 1970): `inspect` knows the first process only."""
    until = f"{time.time():.3f}"
    named = (part for each in replicas for part in ("--filter", f"container={each.id}"))
    span = ("--since", f"{since_s:.3f}", "--until", until)
    said = docker.ask("events", *span, "--filter", "event=oom", *named, "--format", "{{.ID}}") if replicas else ""
    return len(said.split())


def strain_of(docker: Docker, replicas: list[Replica]) -> str:
    """Which limit a replica that is not ready has reached, by the engine's figures of now; empty if none."""
    for each in replicas:
        if each.is_ready or not each.runs:
            continue
        used = docker.json("stats", "--no-stream", "--format", "{{json .}}", each.id)
        cores, limit = _percent(used["CPUPerc"]), each.limits.cpu_cores
        if each.limits.mem_bytes and _percent(used["MemPerc"]) >= _AT_ITS_LIMIT:
            return f"{each.name} uses {used['MemUsage']} of memory"
        if limit and cores >= _AT_ITS_LIMIT * limit:
            return f"{each.name} uses all of its {limit:g} CPU"
    return ""


def _percent(text: str) -> float:
    """A share; 0 where the engine gives none."""
    try:
        return float(text.removesuffix("%")) / 100
    except ValueError:
        return 0.0


def last_words(docker: Docker, replica: Replica) -> str:
    """The end of its log, without secrets, as half a sentence; empty if it said nothing."""
    try:
        said = docker.logs(replica.id, _LOG_LINES)
    except DockerError:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = mask_secrets(" | ".join(lines))[-_LONGEST_WORDS:]
    return f"; its last words: {words}" if words else ""
