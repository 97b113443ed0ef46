"""Usage of a compose project's containers, from the first source that answers."""

from __future__ import annotations

import logging
import stat
from typing import TYPE_CHECKING

from loadstone.usage.cadvisor import Cadvisor
from loadstone.usage.docker_engine import DockerEngine
from loadstone.usage.reading import Gauges, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadstone.domain.event import Usage
    from loadstone.settings import UsageSettings
    from loadstone.usage.reading import Source

__all__ = ["Containers", "containers_of"]

log = logging.getLogger("loadstone.usage")


def containers_of(settings: UsageSettings) -> Containers | None:
    """The sources that the settings name, cAdvisor before the engine; None without any."""
    sources: list[Source] = []
    if settings.cadvisor_url:
        sources.append(Cadvisor(settings.cadvisor_url, settings.compose_project))
    if settings.docker_socket and _is_socket(settings.docker_socket):
        sources.append(DockerEngine(settings.docker_socket, settings.compose_project))
    return Containers(sources) if sources else None


class Containers:
    """Sources in the order in which they are asked. Gauges start anew when another one answers."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._gauges = Gauges()
        self._used: str | None = None

    def take(self) -> tuple[Usage, ...]:
        """Usage since the last call; nothing when no source answers, which is logged once."""
        problems: list[str] = []
        for source in self._sources:
            try:
                readings = source.read()
            except SourceError as error:
                problems.append(str(error))
                continue
            if readings or source is self._sources[-1]:
                self._use(source.name, problems)
                return self._gauges.take(readings)
        self._use("", problems)
        return ()

    def _use(self, name: str, problems: Sequence[str]) -> None:
        if name == self._used:
            return
        self._used, self._gauges = name, Gauges()
        if name:
            log.info("usage_of_containers=%r", name)
        else:
            log.error("usage_of_containers=none cause=%r", "; ".join(problems))


def _is_socket(path: Path) -> bool:
    """Whether a socket was given: a stack without one has a device in its place."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
