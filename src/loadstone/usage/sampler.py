"""The service `usage`: samples once a second, on the second, and publishes what it finds."""

from __future__ import annotations

import logging
import stat
import time
import uuid
from typing import TYPE_CHECKING, Final

from loadstone.domain.usage_tick import UsageTick, encode_usage
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.inbox import send_usage
from loadstone.usage.balancer import Balancer
from loadstone.usage.cadvisor import Cadvisor
from loadstone.usage.docker_engine import DockerEngine
from loadstone.usage.processes import ProcessTree
from loadstone.usage.reading import CounterRates, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loadstone.domain.usage_tick import Balance, Usage
    from loadstone.settings import UsageSettings
    from loadstone.usage.reading import Source

__all__ = ["Containers", "containers_of", "sample_forever"]

_INTERVAL_S: Final = 1.0
log = logging.getLogger("loadstone.usage")


def sample_forever(settings: UsageSettings, stopped: Callable[[], bool]) -> None:
    """Sample until ``stopped()``, or until nothing is left to sample. A tick that cannot be published is logged."""
    client = connect(settings.redis_url, timeout_s=_INTERVAL_S)
    sampler = _Sampler(settings)
    source, seq = uuid.uuid4().hex, 0
    while sampler.has_work() and not stopped():
        rows, balances = sampler.rows(), sampler.balances()
        if rows or balances:
            tick = UsageTick(at_ns=time.time_ns(), source=source, seq=seq, rows=rows, balances=balances)
            seq += 1
            try:
                send_usage(client, encode_usage(tick))
            except FAILURES as error:
                log.warning("usage=dropped seq=%d error=%r", tick.seq, str(error))
        if settings.heartbeat_file:
            settings.heartbeat_file.touch()
        time.sleep(_INTERVAL_S - time.time() % _INTERVAL_S)


class _Sampler:
    """What the settings ask for: processes of this machine, containers, a balancer."""

    def __init__(self, settings: UsageSettings) -> None:
        self._trees = [tree for pid in settings.pid if (tree := ProcessTree.of(pid, settings.service))]
        self._containers = containers_of(settings)
        self._balancer = Balancer(settings.balancer_url) if settings.balancer_url else None
        self._balancer_answers = True

    def has_work(self) -> bool:
        """Whether there is anything left to sample."""
        self._trees = [tree for tree in self._trees if tree.root.is_running()]
        return bool(self._trees or self._containers or self._balancer)

    def rows(self) -> tuple[Usage, ...]:
        """Usage of processes and containers since the last call."""
        processes = tuple(usage for tree in self._trees if (usage := tree.sample(time.monotonic())))
        return processes + (self._containers.take() if self._containers else ())

    def balances(self) -> tuple[Balance, ...]:
        """What the balancer did since the last call; its absence is logged once."""
        if self._balancer is None:
            return ()
        try:
            found = self._balancer.read()
        except SourceError as error:
            if self._balancer_answers:
                log.warning("balancer=unreachable error=%r", str(error))
            self._balancer_answers = False
            return ()
        self._balancer_answers = True
        return found


def containers_of(settings: UsageSettings) -> Containers | None:
    """The sources that the settings name, cAdvisor before the engine; None if they name none."""
    sources: list[Source] = []
    if settings.cadvisor_url:
        sources.append(Cadvisor(settings.cadvisor_url, settings.compose_project))
    if settings.docker_socket and _is_socket(settings.docker_socket):
        sources.append(DockerEngine(settings.docker_socket, settings.compose_project))
    return Containers(sources) if sources else None


class Containers:
    """Sources in the order in which they are read; counters start over when another one answers."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._rates = CounterRates()
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
                self._note_source(source.name, problems)
                return self._rates.take(readings)
        self._note_source("", problems)
        return ()

    def _note_source(self, name: str, problems: Sequence[str]) -> None:
        if name == self._used:
            return
        self._used, self._rates = name, CounterRates()
        if name:
            log.info("usage_of_containers=%r", name)
        else:
            log.error("usage_of_containers=none cause=%r", "; ".join(problems))


def _is_socket(path: Path) -> bool:
    """Whether this is a socket: the stack mounts a device in its place when none is given."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
