"""The facts that a verdict needs, gathered by the two passes over a journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.finalize.ending import ending_of
from loadstone.archive.finalize.losses import damage_texts
from loadstone.domain.ending import WrongUsers
from loadstone.domain.facts import ExitFacts, RunFacts, WorkerFacts
from loadstone.domain.generator_doubts import LAG_FLOOR_MS
from loadstone.domain.objective import parse_objectives
from loadstone.domain.quantile import percentile_of_counts
from loadstone.domain.rollup import merged
from loadstone.domain.stall import TICK_US
from loadstone.domain.time import NS_PER_MS, NS_PER_S, US_PER_MS
from loadstone.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.archive.integrity import SalvageRecord
    from loadstone.archive.lifecycle import Lifecycle
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Exited
    from loadstone.domain.facts import ArrivalFacts, QueueUse, ServiceUsage, TargetFacts, UsageProblem, Window
    from loadstone.domain.objective import Objective
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.stall import Span, Stall

__all__ = ["WorkersInWindow", "facts_of", "objectives_of"]

_WORKER_PART = "worker"
_LATE_BATCH_NS: Final = NS_PER_S
"""Workers send twice a second: a batch that came this long after the start of the window is mostly about the window."""
_WAITING: Final = WrongUsers()
"""Under the open model users only wait for arrivals: whether they were enough is told by those that were not sent."""
_HOST_SHARES: Final = ("host_busy_pct", "host_stolen_pct", "host_waiting_pct")


def facts_of(
    first_pass: FirstPass,
    *,
    names: Mapping[RequestName, Rollup],
    undisturbed: Mapping[RequestName, Rollup] | None,
    usage: Mapping[str, ServiceUsage],
    usage_gaps: tuple[Span, ...],
    usage_problems: tuple[UsageProblem, ...],
    queues: Mapping[str, QueueUse],
    workers: tuple[WorkerFacts, ...],
    target: TargetFacts,
    names_capped: bool,
    failures: int,
    arrivals: ArrivalFacts | None,
    bound_ns: int,
    salvage: SalvageRecord | None,
) -> RunFacts:
    """The facts of a run, with all its failures.

    ``bound_ns`` is until when an incarnation that was not reported lost may have sent.
    """
    state, lifecycle = first_pass.state, first_pass.state.lifecycle
    return RunFacts(
        window=first_pass.window,
        names=names,
        total=merged(names.values()),
        ledger=state.ledger(bound_ns),
        undisturbed=undisturbed,
        usage=usage,
        usage_gaps=usage_gaps,
        usage_problems=usage_problems,
        queues=queues,
        master_gaps=tuple(lifecycle.gaps),
        master_offset_ms=lifecycle.clock_offsets.value,
        host_cores=_host_cores(lifecycle.identity.limits),
        workers=workers,
        target=target,
        ending=ending_of(lifecycle, first_pass.window, first_pass.ended_ns),
        shortfall=_WAITING if first_pass.open_model else first_pass.reports.shortfall(first_pass.window),
        surplus=_WAITING if first_pass.open_model else first_pass.reports.surplus(first_pass.window),
        orphaned=tuple(sorted(lifecycle.orphaned)),
        lost_workers=_lost_workers(first_pass),
        users_moved=lifecycle.users_moved,
        failures=failures,
        arrivals=arrivals,
        exceptions=lifecycle.exceptions_in(first_pass.window),
        exceptions_of_run=lifecycle.all_exceptions,
        start_known=lifecycle.started_ns is not None,
        target_exited=_exited_under_load(lifecycle),
        target_exit_code=lifecycle.target_exited.code if lifecycle.target_exited else None,
        master_lost=state.master_lost,
        interrupted=lifecycle.interrupted,
        crashed={part: code for part, code in lifecycle.crashed.items() if not part.startswith(_WORKER_PART)},
        restarted=lifecycle.restarted,
        names_capped=names_capped or lifecycle.names_capped,
        damage=tuple(damage_texts(first_pass, salvage)),
        salvaged_from=salvage.run if salvage else "",
        locust=lifecycle.locust_totals,
        **_counts_of_incarnations(first_pass),
        **_endings(first_pass),
    )


def objectives_of(first_pass: FirstPass) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """The objectives that the run was started with, and what is wrong with those that cannot be parsed."""
    objectives: list[Objective] = []
    problems: list[str] = []
    for line in first_pass.state.lifecycle.identity.objectives:
        try:
            objectives.extend(parse_objectives([line]))
        except SettingsError as error:
            problems.extend(error.problems)
    return tuple(objectives), tuple(problems)


def _exited_under_load(lifecycle: Lifecycle) -> bool:
    """Whether the target ended before users began to stop; after that it is expected to end."""
    if lifecycle.target_exited_ns is None:
        return False
    stop_ns = lifecycle.stopping_ns or lifecycle.stopped_ns
    return stop_ns is None or lifecycle.target_exited_ns <= stop_ns


def _lost_workers(first_pass: FirstPass) -> tuple[int, ...]:
    """Workers that were reported lost and never ended properly."""
    state = first_pass.state
    ended = {incarnation.ledger.worker for incarnation in state.incarnations.values() if not incarnation.ledger.is_lost}
    return tuple(sorted(set(state.lifecycle.lost_at_ns) - ended - state.silent_workers))


def _counts_of_incarnations(first_pass: FirstPass) -> dict[str, Any]:
    ledgers = [incarnation.ledger for incarnation in first_pass.state.incarnations.values()]
    return {
        "aborted": sum(ledger.aborted for ledger in ledgers),
        "odd": sum(ledger.odd for ledger in ledgers),
        "odd_example": next((ledger.odd_example for ledger in ledgers if ledger.odd_example), ""),
        "unreported": sum(ledger.unreported for ledger in ledgers),
        "lone_errors": sum(ledger.lone_errors for ledger in ledgers),
    }


def _endings(first_pass: FirstPass) -> dict[str, Any]:
    return {
        "exits": tuple(_exit(exited) for exited in first_pass.state.lifecycle.exits),
        "exit_unknown": first_pass.state.lifecycle.exit_is_missing,
        "left_workers": _left_workers(first_pass),
        "silent_workers": tuple(sorted(first_pass.state.silent_workers)),
    }


def _left_workers(first_pass: FirstPass) -> tuple[int, ...]:
    """Workers that sent everything and left while users of the run were still wanted."""
    ended = {each.ledger.worker for each in first_pass.state.incarnations.values() if each.ledger.final}
    return tuple(sorted(first_pass.state.lifecycle.lost_under_load & ended))


def _exit(exited: Exited) -> ExitFacts:
    """Without a report of the process itself, the scenario ended it: by ``sys.exit``, for instance."""
    return ExitFacts(
        code=exited.code,
        worker=exited.worker,
        chosen=exited.chosen or exited.observed,
        failures=exited.failures,
        exceptions=exited.exceptions,
        raised=exited.raised,
    )


def _host_cores(limits: Mapping[str, Any] | None) -> float | None:
    cores = (limits or {}).get("host_cores")
    return float(cores) if isinstance(cores, int | float) else None


@dataclass(slots=True)
class _Host:
    """Sums of the shares of a worker's machine, and how many of each there were."""

    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, batch: Batch) -> None:
        for name in _HOST_SHARES:
            share = getattr(batch, name)
            if share is not None:
                self.sums[name] += share
                self.counts[name] += 1

    def means(self) -> dict[str, float | None]:
        return {name: self.sums[name] / count if (count := self.counts[name]) else None for name in _HOST_SHARES}


@dataclass(slots=True)
class _Worker:
    lags_us: Counter[int] = field(default_factory=Counter)
    throttled_before_us: dict[str, int] = field(default_factory=dict)
    throttled_after_us: dict[str, int] = field(default_factory=dict)
    cpu_pct_sum: float = 0.0
    batches: int = 0
    offset_ms_sum: float = 0.0
    offsets: int = 0
    stalls: list[Stall] = field(default_factory=list)
    host: _Host = field(default_factory=_Host)
    target_offset_ms: float | None = None
    own_stream: bool = False
    last_sent_ns: int = 0

    def note_clocks(self, batch: Batch) -> None:
        self.own_stream = self.own_stream or batch.own_stream
        readings = [each for each in (self.target_offset_ms, batch.target_offset_ms) if each is not None]
        self.target_offset_ms = min(readings, key=abs, default=None)

    def late_pct(self, limit_ms: float) -> float | None:
        """Share of the time in which the loop was late beyond the limit: a measurement covers its tick and its lag."""
        covered_us = sum((TICK_US + lag_us) * count for lag_us, count in self.lags_us.items())
        limit_us = limit_ms * US_PER_MS
        late_us = sum((TICK_US + lag_us) * count for lag_us, count in self.lags_us.items() if lag_us > limit_us)
        return 100 * late_us / covered_us if covered_us else None


class WorkersInWindow:
    """Gathers how workers did; a batch belongs to the window if it was sent in it, but for the first one.

    That one is about the end of the ramp-up or the warm-up too, unless a worker that stood still sent it late. A loop
    is late beyond ``lag_limit_ms``. ``ahead_ms``: how far the master's clock, which dates the window, is ahead of the
    stream server's.
    """

    def __init__(self, window: Window, lag_limit_ms: float = LAG_FLOOR_MS, ahead_ms: float | None = None) -> None:
        self._window = window
        self._ahead_ms = ahead_ms or 0.0
        self._lag_limit_ms = lag_limit_ms
        self._workers: dict[int, _Worker] = {}
        self._sent_ns: dict[str, int] = {}

    def take(self, batch: Batch) -> None:
        """Take in one batch that was not taken in before."""
        worker = self._workers.setdefault(batch.worker, _Worker())
        if self._is_early(batch):
            _raise_to(worker.throttled_before_us, batch)
        elif batch.sent_ns in self._window:
            _raise_to(worker.throttled_after_us, batch)
            worker.lags_us.update(batch.loop_lag_us)
            worker.cpu_pct_sum += batch.cpu_pct
            worker.batches += 1
            worker.host.take(batch)
        worker.note_clocks(batch)
        worker.last_sent_ns = max(worker.last_sent_ns, batch.sent_ns)
        worker.stalls.extend(stall for stall in batch.stalls if self._touches_window(stall))
        if batch.clock_offset_ms is not None and self._sent_by_master_ns(batch, batch.clock_offset_ms) in self._window:
            worker.offset_ms_sum += batch.clock_offset_ms
            worker.offsets += 1

    def facts(self) -> tuple[WorkerFacts, ...]:
        """One record per worker, ascending."""
        limit_ms = self._lag_limit_ms
        return tuple(_worker_facts(number, self._workers[number], limit_ms) for number in sorted(self._workers))

    def _sent_by_master_ns(self, batch: Batch, offset_ms: float) -> int:
        """When a batch was sent by the master's clock.

        By the worker's own clock, one that is far enough off would never send within the window and never be noticed.
        """
        return batch.sent_ns - round((offset_ms - self._ahead_ms) * NS_PER_MS)

    def _is_early(self, batch: Batch) -> bool:
        """Whether it is about the time before the window."""
        before_ns = self._sent_ns.get(batch.incarnation, batch.sent_ns)
        self._sent_ns[batch.incarnation] = batch.sent_ns
        start_ns = self._window.start_ns
        return batch.sent_ns < start_ns or (before_ns < start_ns and batch.sent_ns < start_ns + _LATE_BATCH_NS)

    def _touches_window(self, stall: Stall) -> bool:
        return stall.end_ns >= self._window.start_ns and stall.begin_ns < self._window.end_ns


def _raise_to(totals_us: dict[str, int], batch: Batch) -> None:
    totals_us[batch.incarnation] = max(totals_us.get(batch.incarnation, 0), batch.throttled_us)


def _worker_facts(number: int, worker: _Worker, lag_limit_ms: float) -> WorkerFacts:
    throttled_us = sum(
        total - worker.throttled_before_us.get(incarnation, 0)
        for incarnation, total in worker.throttled_after_us.items()
    )
    lag_p99_us = percentile_of_counts(worker.lags_us, 99)
    return WorkerFacts(
        worker=number,
        lag_p99_ms=None if lag_p99_us is None else lag_p99_us / US_PER_MS,
        throttled_us=throttled_us,
        cpu_pct=worker.cpu_pct_sum / worker.batches if worker.batches else 0.0,
        clock_offset_ms=worker.offset_ms_sum / worker.offsets if worker.offsets else None,
        stalls=tuple(sorted(worker.stalls)),
        late_pct=worker.late_pct(lag_limit_ms),
        target_offset_ms=worker.target_offset_ms,
        own_stream=worker.own_stream,
        last_sent_ns=worker.last_sent_ns,
        **worker.host.means(),
    )
