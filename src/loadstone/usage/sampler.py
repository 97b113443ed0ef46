"""The service `usage`: samples once a second, on the second, and publishes what it finds."""

from __future__ import annotations

import logging
import stat
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from loadstone.domain.time import NS_PER_S
from loadstone.domain.usage_tick import Usage, UsageTick, encode_usage
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.inbox import send_usage
from loadstone.usage.balancer import Balancer
from loadstone.usage.cadvisor import Cadvisor
from loadstone.usage.docker_engine import DockerEngine
from loadstone.usage.oom_kills import OomKills
from loadstone.usage.processes import ProcessTree
from loadstone.usage.reading import CounterRates, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from loadstone.domain.usage_tick import Balance
    from loadstone.settings import UsageSettings
    from loadstone.usage.reading import Reading, Source

__all__ = ["Containers", "containers_of", "sample_forever"]

_INTERVAL_S: Final = 1.0
_WITHOUT_FOR_NS: Final = 4 * NS_PER_S
"""So long no container may be read before it is said: one that is restarted is away for a second or two."""
_WAIT_TICKS: Final = 2
_ASKED_AGAIN_NS: Final = 30 * NS_PER_S
_SAY_AGAIN_NS: Final = 60 * NS_PER_S
_LONGEST_PROBLEM: Final = 1000
log = logging.getLogger("loadstone.usage")


def sample_forever(settings: UsageSettings, stopped: Callable[[], bool]) -> None:
    """Sample until ``stopped()``, or until nothing is left to sample. A tick that cannot be published is logged."""
    client = connect(settings.redis_url, timeout_s=_INTERVAL_S)
    sampler = _Sampler(settings)
    source, seq = uuid.uuid4().hex, 0
    while sampler.has_work() and not stopped():
        tick = sampler.tick(source, seq)
        if tick.rows or tick.balances or tick.problem:
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
        self._trees = [tree for tree in self._trees if not tree.ended]
        return bool(self._trees or self._containers or self._balancer)

    def tick(self, source: str, seq: int) -> UsageTick:
        """What everything used since the last call, at the moment at which it is asked."""
        at_ns = time.time_ns()
        processes = tuple(usage for tree in self._trees if (usage := tree.sample(time.monotonic())))
        containers, problem = self._containers.take(at_ns) if self._containers else ((), "")
        return UsageTick(
            at_ns=at_ns,
            source=source,
            seq=seq,
            rows=(*processes, *containers),
            balances=self.balances(),
            problem=problem,
        )

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
    kills = None
    if settings.cadvisor_url:
        sources.append(Cadvisor(settings.cadvisor_url, settings.compose_project))
    if settings.docker_socket and _is_socket(settings.docker_socket):
        sources.append(DockerEngine(settings.docker_socket, settings.compose_project))
        kills = OomKills(settings.docker_socket, settings.compose_project)
    return Containers(sources, kills) if sources else None


class Containers:
    """Sources in the order in which they are read; counters start over when another one answers.

    Out-of-memory kills are those that ``kills`` saw; without it those of the sources' own counters.
    """

    def __init__(self, sources: Sequence[Source], kills: OomKills | None = None) -> None:
        self._sources = sources
        self._kills = kills
        self._rates = CounterRates()
        self._used: str | None = None
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._without_since_ns: int | None = None
        self._failed: dict[str, tuple[int, str]] = {}
        """When a source failed last, and why."""
        self._said: dict[str, int] = {}

    def take(self, now_ns: int) -> tuple[tuple[Usage, ...], str]:
        """Usage since the last call, and what is wrong with it, if anything.

        ``now_ns`` is the time under which it is recorded. What is wrong is logged, too, once a minute.
        """
        source, readings, causes = self._read(now_ns)
        timed = self._rates.take(readings)
        problems = list(self._problems(source, [at_ns for _, at_ns in timed], causes, now_ns))
        for problem in problems:
            self._say(problem, now_ns)
        rows = tuple(usage for usage, _ in timed)
        if self._kills:
            rows = self._with_kills(rows, self._kills.take())
        return rows, "; ".join(problems)[:_LONGEST_PROBLEM]

    def close(self) -> None:
        """Stop listening for kills."""
        if self._kills:
            self._kills.close()

    def _read(self, now_ns: int) -> tuple[Source | None, Sequence[Reading], list[str]]:
        """The first source that has readings, these, and why the ones before it have none.

        One that failed is passed over as long as another one answers, and looked after in the background: finding out
        that a name cannot be resolved takes longer than a tick.
        """
        failed = [source for source in self._sources if source.name in self._failed]
        for source in (*(source for source in self._sources if source not in failed), *failed):
            try:
                readings = source.read()
            except SourceError as error:
                self._failed[source.name] = (now_ns, str(error))
                continue
            self._failed.pop(source.name, None)
            for other in failed:
                self._look_after(other, now_ns)
            causes = self._causes()
            if source.name != self._used:
                self._used, self._rates = source.name, CounterRates()
                log.info("usage_of_containers=%r instead_because=%r", source.name, "; ".join(causes))
            return source, readings, causes
        return None, (), self._causes()

    def _look_after(self, source: Source, now_ns: int) -> None:
        """Once in a while ask a source that failed, without waiting for it."""
        at_ns, cause = self._failed.get(source.name, (now_ns, ""))
        if now_ns - at_ns >= _ASKED_AGAIN_NS:
            self._failed[source.name] = (now_ns, cause)
            threading.Thread(target=self._ask_again, args=(source, now_ns), name=source.name, daemon=True).start()

    def _ask_again(self, source: Source, now_ns: int) -> None:
        try:
            source.read()
        except SourceError as error:
            self._failed[source.name] = (now_ns, str(error))
        else:
            self._failed.pop(source.name, None)

    def _causes(self) -> list[str]:
        """Why sources failed, in their order."""
        return [self._failed[each.name][1] for each in self._sources if each.name in self._failed]

    def _problems(
        self, source: Source | None, times_ns: Sequence[int], causes: Sequence[str], now_ns: int
    ) -> Iterator[str]:
        if times_ns:
            self._without_since_ns = None
        elif self._without_since_ns is None:
            self._without_since_ns = now_ns
        elif now_ns - self._without_since_ns >= _WITHOUT_FOR_NS:
            why = "; ".join(causes) if source is None else f"the figures of {source.name} stand still"
            yield f"CPU and memory of containers are not recorded: {why}"
        if source and any(abs(at_ns - now_ns) > source.fresh_s * NS_PER_S for at_ns in times_ns):
            yield (
                f"CPU and memory of containers were measured more than {source.fresh_s:g} s off the time under which"
                f" they are recorded: {source.name} answers slowly, so give the machine more CPU or less load"
            )
        if self._kills and self._kills.problem:
            yield f"out-of-memory kills are not seen: {self._kills.problem}"

    def _say(self, problem: str, now_ns: int) -> None:
        if now_ns - self._said.get(problem, 0) >= _SAY_AGAIN_NS:
            self._said = {text: at_ns for text, at_ns in self._said.items() if now_ns - at_ns < _SAY_AGAIN_NS}
            self._said[problem] = now_ns
            log.error("usage=trouble cause=%r", problem)

    def _with_kills(self, rows: Sequence[Usage], kills: Mapping[tuple[str, str], int]) -> tuple[Usage, ...]:
        """The rows with the kills since the last call.

        A killed container may take a while to come back: its kills wait for its next row, but not for long. One that
        stays away gets a row in which it uses nothing.
        """
        for key, count in kills.items():
            self._waiting.setdefault(key, _Waiting()).kills += count
        found = []
        for row in rows:
            waiting = self._waiting.pop((row.service, row.container), None)
            found.append(replace(row, oom=waiting.kills if waiting else 0))
        for key, waiting in list(self._waiting.items()):
            waiting.ticks += 1
            if waiting.ticks > _WAIT_TICKS:
                del self._waiting[key]
                found.append(self._gone(*key, waiting.kills))
        return tuple(found)

    def _gone(self, service: str, container: str, kills: int) -> Usage:
        cpu_limit, mem_limit = self._rates.last_limits(service, container)
        return Usage(
            service=service,
            container=container,
            cpu_cores=0.0,
            cpu_limit=cpu_limit,
            mem_limit=mem_limit,
            oom=kills,
        )


@dataclass(slots=True)
class _Waiting:
    kills: int = 0
    ticks: int = 0


def _is_socket(path: Path) -> bool:
    """Whether this is a socket: the stack mounts a device in its place when none is given."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
