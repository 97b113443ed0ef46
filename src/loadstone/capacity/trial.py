"""Trial: what one run says about the target: that it holds its load, that it does not, or nothing.

A trial is *invalid* when the run says nothing about the target, and it never counts as one that does not hold:

1. The run was interrupted, or its verdict is inconclusive: its own doubts are the reasons. Or it failed although all
   objectives held, because the scenario judged it otherwise.
2. Fewer than 99 % of the users ran. Under the open model users only wait for arrivals: those that were not sent, or
   not on time, are doubts of the verdict.
3. A worker used more than 80 % of a core: it may have sent later or less than its users wanted.
4. The balancer tried connections again, or sent requests to another replica: one did not answer for a reason that has
   nothing to do with its limits. A trial that misses an objective while the replicas are at a limit of their own stays
   valid, as it does in a verdict: replicas that are overloaded accept connections late.
5. CPU or memory of the target were not seen although it was said which service it is, or not those of each replica;
   or one of them had other limits at any time than those that the trial is of.
6. It missed an objective on latency while the workers' host had no CPU to spare, and was at no limit of its own.
7. The balancer got clearly more requests than the run sent: somebody else's reach the target.
8. It holds, but its latency was still growing when the window ended: it might not hold for longer.

Memory that runs out, and a target or a replica that exits under load, decide by themselves, except under requests of
somebody else (7): it does not hold. So does an objective that is missed, although another could not be measured.

Little's law (users = rate x (latency + think time)) is not checked: how long users think is code of the scenario, and
nobody records it. What is checked instead: that all users ran (2), that they could send on time (3), and that none was
missing or stuck (the verdict's doubts).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from loadstone.archive.seconds import read_seconds
from loadstone.capacity.bottleneck import Symptoms, bottleneck_of
from loadstone.capacity.load import load_of
from loadstone.capacity.margin import margin_of
from loadstone.capacity.steady import still_grows
from loadstone.capacity.study_record import TrialRecord
from loadstone.capacity.used import used_by
from loadstone.domain.event import TargetExited
from loadstone.domain.generator_doubts import BUSY_PCT
from loadstone.domain.host_doubts import TARGET
from loadstone.domain.objective import parse_objective
from loadstone.domain.run_seconds import ALL
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import RunRecord
    from loadstone.capacity.load import Load
    from loadstone.capacity.margin import Margin
    from loadstone.capacity.study_record import BottleneckRecord
    from loadstone.capacity.used import Used
    from loadstone.rig.rig import Applied, Setting

__all__ = ["Outcome", "TrialPlan", "record_of"]

_USERS_SHARE: Final = 0.99
_BUSY_WORKER_PCT: Final = 80.0
_CORES_APART: Final = 0.01
"""Relative: quotas are whole microseconds."""
_PAGE_BYTES: Final = 4096
_FOREIGN_SHARE: Final = 0.01
_FOREIGN_REQUESTS: Final = 10
"""Beside one for each worker: it asks the target what it is to send, before its users do."""
_OWN_LIMITS: Final = frozenset({"cpu quota", "one core per process", "memory"})
"""Causes that lie in the replicas."""


class Outcome(StrEnum):
    """What a trial says."""

    HOLDS = "holds"
    FAILS = "does not hold"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """A run with so many users or, at this ``rate``, arrivals per second; under these limits, if any are given.

    It measures for so long after ramp and warm-up. It makes sense only if there is time for the trials that come
    ``then`` as well.
    """

    users: int | None = None
    rate: float | None = None
    window_s: float
    setting: Setting | None = None
    then: tuple[TrialPlan, ...] = ()

    @property
    def what(self) -> str:
        """What it tries, for people."""
        return str(self.load) if self.setting is None else str(self.setting)

    @property
    def load(self) -> Load:
        """What it sends."""
        return load_of(self.users, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What a run says. ``reasons``: why it does not hold, or is invalid; empty where it holds.

    ``margin`` is None where the trial is invalid, or the target ``broke``: ran out of memory, or exited.
    """

    run: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    margin: Margin | None = None
    broke: bool = False


def record_of(
    run: ClosedRun, plan: TrialPlan, service: str | None = None, applied: Applied | None = None
) -> TrialRecord:
    """A run as a trial of a study, under the limits that were applied.

    Raises `UsageError` without an objective, and `ArchiveError`.
    Without a ``service``, what the service `target` used is told where it was measured, and is no part of the judgment.
    """
    used = used_by(run, service or TARGET)
    target = _Target(service, plan.setting)
    trial, figures = _judged(run, plan.load, used, target), run.record.judged.total
    return TrialRecord(
        users=plan.users,
        rate=plan.rate,
        window_s=plan.window_s,
        run=trial.run,
        outcome=trial.outcome.value,
        reasons=trial.reasons,
        broke=trial.broke,
        margin=trial.margin.value if trial.margin else None,
        margin_se=trial.margin.se if trial.margin else 0.0,
        objective=trial.margin.objective if trial.margin else "",
        rps=figures.rps,
        failures_pct=figures.failures_pct,
        mean_ms=figures.mean_ms,
        p95_ms=figures.p95_ms,
        p99_ms=figures.p99_ms,
        max_ms=figures.max_ms,
        setting=plan.setting,
        read_back=applied.read_back if applied else "",
        cpu_cores=used.cpu_cores,
        peak_mem_bytes=used.peak_mem_bytes,
        idle_mem_bytes=used.idle_mem_bytes,
        throttled_pct=used.throttled_pct,
        bottleneck=_bottleneck(run.record, trial, used, target),
    )


@dataclass(frozen=True, slots=True)
class _Target:
    """The service in the figures of usage, and its limits; None where nobody said them."""

    service: str | None
    setting: Setting | None


def _judged(run: ClosedRun, load: Load, used: Used, target: _Target) -> _Trial:
    record = run.record
    foreign = tuple(_foreign(record))
    if not foreign and (broken := tuple(_broken(run, used, target))):
        return _Trial(run=record.id, outcome=Outcome.FAILS, reasons=broken, broke=True)
    missed = _missed(record)
    where = (record, missed, used, target)
    flaws = (*_flaws(record, load), *foreign, *_unseen(used, target, missed))
    if flaws := (*flaws, *_starved(*where), *_retried(*where)):
        return _Trial(run=record.id, outcome=Outcome.INVALID, reasons=flaws)
    if missed:
        return _Trial(run=record.id, outcome=Outcome.FAILS, reasons=missed, margin=margin_of(run))
    if record.exit_code:
        return _Trial(run=record.id, outcome=Outcome.INVALID, reasons=record.reasons)
    if still_grows(read_seconds(run, names=())[ALL]):
        growing = "its latency was still growing at the end of the window; a longer --warmup lets it settle"
        return _Trial(run=record.id, outcome=Outcome.INVALID, reasons=(growing,))
    return _Trial(run=record.id, outcome=Outcome.HOLDS, margin=margin_of(run))


def _broken(run: ClosedRun, used: Used, target: _Target) -> Iterator[str]:
    if target.service and used.kills:
        yield f"{target.service} ran out of memory: {used.kills} kill{'s' if used.kills > 1 else ''}"
    exits = [event for event in run.events() if isinstance(event.payload, TargetExited)]
    if any(event.at_ns <= run.record.window.end_ns for event in exits):
        yield "the target exited under load"


def _flaws(record: RunRecord, load: Load) -> Iterator[str]:
    if record.verdict == INCONCLUSIVE:
        missed = _missed(record)
        yield from (reason for reason in record.reasons if reason not in missed)
    if not load.is_rate and record.users_peak < _USERS_SHARE * load.amount:
        yield f"only {record.users_peak:,} of {load} ran"
    for worker in record.worker_health:
        if worker.cpu_pct > _BUSY_WORKER_PCT:
            yield f"worker {worker.worker} used {worker.cpu_pct:.0f} % of a core; more workers share the load"


def _foreign(record: RunRecord) -> Iterator[str]:
    """Requests that a balancer got and this run did not send, if they are more than an inaccuracy."""
    sent = record.ledgers.archive.produced + record.aborted + record.unreported
    most = max(_FOREIGN_SHARE * sent, _FOREIGN_REQUESTS + len(record.incarnations))
    for balancer in record.balancers.values():
        if balancer.requests is not None and balancer.requests - sent > most:
            yield (
                f"the balancer got {balancer.requests:,} requests and the run sent {sent:,}: somebody else's reach the"
                " target, or the scenario sends requests that it does not report"
            )


def _starved(record: RunRecord, missed: tuple[str, ...], used: Used, target: _Target) -> Iterator[str]:
    """A host without CPU to spare, unless the target was at a limit of its own, which another host does not change.

    A verdict doubts latencies alone there. A target that waits for a CPU refuses requests too.
    """
    symptoms = _symptoms(record, missed, used, target)
    if record.verdict == INCONCLUSIVE or not symptoms.is_slow or used.busiest_cores is None:
        return
    busy = max(
        ((each.host_busy_pct or 0.0) + (each.host_stolen_pct or 0.0) for each in record.worker_health), default=0
    )
    if busy > BUSY_PCT and bottleneck_of(symptoms).cause not in _OWN_LIMITS:
        yield (
            f"the workers' host was out of CPU ({busy:.0f} % busy or stolen) and the target at no limit of its own: it"
            " may hold more where there is CPU to spare"
        )


def _retried(record: RunRecord, missed: tuple[str, ...], used: Used, target: _Target) -> Iterator[str]:
    """What the balancer had to do again, unless limits of the replicas themselves explain it."""
    if missed and bottleneck_of(_symptoms(record, missed, used, target)).cause in _OWN_LIMITS:
        return
    for balancer in record.balancers.values():
        if balancer.retries or balancer.redispatches:
            yield (
                f"the balancer tried {balancer.retries:,} connections again and sent {balancer.redispatches:,} requests"
                " to another replica"
            )


def _unseen(used: Used, target: _Target, missed: tuple[str, ...]) -> Iterator[str]:
    """What is not known of the usage of a target that is named, or is not as it was to be.

    A replica without figures for a while may have ended, or was measured late: what its users felt decides.
    """
    if target.service is None:
        return
    cure = "see what the run's report says about usage"
    if target.setting is not None and not _has_limits(used, target.setting):
        yield f"{target.service} had {_limits_in_run(used)} in the run and not {target.setting}"
    if used.away:
        if not missed:
            yield f"{', '.join(used.away)} ended under load, or was measured late; {cure}"
        return
    missing = [name for name, value in (("CPU", used.cpu_cores), ("memory", used.peak_mem_bytes)) if value is None]
    if missing:
        yield f"{' and '.join(missing)} of {target.service} were not measured in the window; {cure}"
    elif target.setting is not None and used.replicas < target.setting.replicas:
        yield f"CPU and memory of only {used.replicas} of {target.setting.replicas} replicas were measured; {cure}"


def _has_limits(used: Used, setting: Setting) -> bool:
    """Whether all limits that were measured, of every replica and at any time, are those of the setting."""
    same_cpu = (each and abs(each / setting.cpu_cores - 1) <= _CORES_APART for each in used.cpu_limits)
    same_mem = (each and abs(each - setting.mem_bytes) <= _PAGE_BYTES for each in used.mem_limits)
    return all(same_cpu) and all(same_mem)


def _limits_in_run(used: Used) -> str:
    """All of them, such as "1 CPU or 4 CPU and 512m"."""
    cpu = " or ".join("no limit of CPU" if each is None else f"{each:g} CPU" for each in used.cpu_limits)
    memory = " or ".join("no limit of memory" if each is None else memory_text(each) for each in used.mem_limits)
    return f"{cpu} and {memory}"


def _bottleneck(record: RunRecord, trial: _Trial, used: Used, target: _Target) -> BottleneckRecord | None:
    """What limited a target that does not hold; None of any other."""
    if trial.outcome is not Outcome.FAILS:
        return None
    return bottleneck_of(_symptoms(record, trial.reasons, used, target, ended=trial.broke))


def _symptoms(
    record: RunRecord, reasons: tuple[str, ...], used: Used, target: _Target, *, ended: bool = False
) -> Symptoms:
    missed = [parse_objective(each.text) for each in record.objectives if each.ok is False]
    return Symptoms(
        missed=" and ".join(reasons),
        is_slow=any(objective.is_latency for objective in missed),
        ended=ended,
        used=used,
        balancer=record.balancers.get(target.service or TARGET),
    )


def _missed(record: RunRecord) -> tuple[str, ...]:
    return tuple(objective.reason for objective in record.objectives if objective.ok is False)
