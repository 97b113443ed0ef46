"""Compare two runs: which figures differ, how surely, and whether the change is within its objectives.

Percentiles and rates are those of the whole seconds of each run's window. A figure differs when the confidence interval
of its change (`loadstone.domain.bootstrap.CONFIDENCE`) does not contain zero. An objective is held when the whole
interval is within its limit, missed when the whole interval is outside, and undecided otherwise: the runs were then too
short or too noisy to tell, and the verdict is *inconclusive*.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.seconds import read_seconds
from loadstone.domain.bootstrap import (
    FEWEST_SECONDS,
    Interval,
    Resampled,
    percentile_us,
    relative,
    share_difference,
)
from loadstone.domain.objective import number_text
from loadstone.domain.run_seconds import ALL
from loadstone.domain.verdict import FAIL, INCONCLUSIVE, PASS
from loadstone.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import RunRecord
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.run_seconds import RunSeconds
    from loadstone.gate.change import ChangeObjective

__all__ = [
    "METRICS",
    "Change",
    "ChangeResult",
    "Comparison",
    "change_of",
    "change_texts",
    "compare_runs",
    "judge_changes",
    "setup_differences",
]

METRICS: Final = ("p50", "p95", "p99", "mean", "rps", "failures")
"""The figures that are compared for every request name."""
_CODES: Final = {PASS: ExitCode.PASS, FAIL: ExitCode.FAIL, INCONCLUSIVE: ExitCode.INCONCLUSIVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of one request name (or of `ALL`) in both runs: ms, 1/s, or percent for failures; None if unknown.

    ``change`` and ``interval`` are in percent of the base's figure, or in percentage points for failures.
    """

    name: RequestName
    metric: str
    base: float | None
    run: float | None
    change: float | None
    interval: Interval | None

    @property
    def differs(self) -> bool:
        """Whether the change is larger than chance explains."""
        return self.interval is not None and 0.0 not in self.interval

    @property
    def unit(self) -> str:
        """The unit of ``change``."""
        return "pp" if self.metric == "failures" else "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """How one objective came out; ``ok`` is None when it is undecided."""

    text: str
    ok: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs, every change between them, and how the objectives came out.

    ``setup_differences``: how scenario, load or limits of the runs differ. ``doubts``: why a run is no sound basis.
    """

    base: RunRecord
    run: RunRecord
    setup_differences: tuple[str, ...]
    changes: tuple[Change, ...]
    results: tuple[ChangeResult, ...]
    doubts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Fail if an objective is missed; inconclusive if one is undecided or a run was not sound; else pass."""
        if any(result.ok is False for result in self.results):
            return FAIL
        undecided = any(result.ok is None for result in self.results)
        return INCONCLUSIVE if undecided or (self.results and self.doubts) else PASS

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the verdict."""
        return _CODES[self.verdict]


def compare_runs(
    base: ClosedRun, run: ClosedRun, objectives: Sequence[ChangeObjective] = (), *, allow_unlike: bool = False
) -> Comparison:
    """Compare two closed runs.

    Raises `UsageError` when scenario, load or limits differ and ``allow_unlike`` is False, or when an objective names
    no request; `ArchiveError` when a run cannot be read.
    """
    records = base.record, run.record
    differences = setup_differences(*records)
    if differences and not allow_unlike:
        raise UsageError(
            f"runs {base.record.id} and {run.record.id} are not comparable: {'; '.join(differences)}",
            hint="Compare runs of the same scenario, load and limits, or give --allow-unlike",
        )
    seconds = read_seconds(base), read_seconds(run)
    names = [ALL, *sorted((set(seconds[0]) & set(seconds[1])) - {ALL})]
    changes = tuple(change for name in names for change in _changes(name, seconds[0][name], seconds[1][name]))
    return Comparison(
        base=records[0],
        run=records[1],
        setup_differences=tuple(differences),
        changes=changes,
        results=judge_changes(objectives, seconds),
        doubts=tuple(doubt for record in records for doubt in _doubts(record)),
    )


def _changes(name: RequestName, base: RunSeconds, run: RunSeconds) -> list[Change]:
    drawn = Resampled(base, stream=0), Resampled(run, stream=1)
    return [change_of(name, metric, *drawn) for metric in METRICS]


def change_of(name: RequestName, metric: str, base: Resampled, run: Resampled) -> Change:
    """The change of one metric: a percentile such as ``p95``, ``mean``, ``rps`` or ``failures``."""
    figures = [_figure(metric, drawn.seconds) for drawn in (base, run)]
    change, interval = _difference(metric, figures, base, run)
    known = [figure if isfinite(figure) else None for figure in figures]
    return Change(name=name, metric=metric, base=known[0], run=known[1], change=change, interval=interval)


def _difference(
    metric: str, figures: Sequence[float], base: Resampled, run: Resampled
) -> tuple[float | None, Interval | None]:
    if not all(map(isfinite, figures)) or min(len(base.seconds), len(run.seconds)) < FEWEST_SECONDS:
        return None, None
    if metric == "failures":
        counts = [(int(drawn.seconds.err.sum()), int(drawn.seconds.n.sum())) for drawn in (base, run)]
        interval = share_difference(counts[0], counts[1])
        return figures[1] - figures[0], Interval(100 * interval.low, 100 * interval.high)
    if not figures[0]:
        return None, None
    draws = [_draws(metric, drawn) for drawn in (base, run)]
    return 100 * (figures[1] / figures[0] - 1), relative(draws[0], draws[1], min(len(base.seconds), len(run.seconds)))


def _figure(metric: str, seconds: RunSeconds) -> float:
    n = int(seconds.n.sum())
    if metric == "rps":
        return n / len(seconds) if len(seconds) else float("nan")
    if not n:
        return float("nan")
    if metric == "failures":
        return 100 * int(seconds.err.sum()) / n
    if metric == "mean":
        timed = int(seconds.timed.sum())
        return float(seconds.rt_sum_us.sum()) / timed / 1000 if timed else float("nan")
    return percentile_us(seconds, float(metric[1:])) / 1000


def _draws(metric: str, drawn: Resampled) -> NDArray[np.float64]:
    if metric == "rps":
        return drawn.rates()
    return drawn.means_us() if metric == "mean" else drawn.percentiles_us(float(metric[1:]))


def judge_changes(
    objectives: Sequence[ChangeObjective],
    seconds: tuple[Mapping[RequestName, RunSeconds], Mapping[RequestName, RunSeconds]],
) -> tuple[ChangeResult, ...]:
    """Judge each objective by the seconds of base and run. Raises `UsageError` for a name that both runs lack."""
    results = []
    for objective in objectives:
        name = _selected(objective, seconds[0], seconds[1])
        drawn = Resampled(seconds[0][name], stream=0), Resampled(seconds[1][name], stream=1)
        results.append(_judge(objective, change_of(name, objective.metric, *drawn)))
    return tuple(results)


def _selected(objective: ChangeObjective, *runs: Mapping[RequestName, RunSeconds]) -> RequestName:
    if objective.name is None:
        return ALL
    both = sorted((set(runs[0]) & set(runs[1])) - {ALL})
    found = [name for name in both if objective.name in {name.name, name.label}]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} requests are called" if found else "both runs have no request called"
    known = ", ".join(name.label for name in (found or both))
    raise UsageError(
        f"objective {objective.text!r}: {problem} {objective.name!r}",
        hint=f"Requests to choose from: {known}" if known else "The runs have no request in common",
    )


def _judge(objective: ChangeObjective, change: Change) -> ChangeResult:
    if change.change is None or change.interval is None:
        return ChangeResult(text=objective.text, ok=None, reason=f"{objective.metric} cannot be compared")
    ends = {objective.holds(change.interval.low), objective.holds(change.interval.high)}
    ok = None if len(ends) > 1 else ends.pop()
    by, interval = change_texts(change)
    return ChangeResult(text=objective.text, ok=ok, reason=f"{change.metric} changed by {by} {interval}")


def change_texts(change: Change) -> tuple[str, str]:
    """A change and its interval as people read them: ``+7.1 %`` and ``[+3, +11.2]``; ``-`` if unknown."""
    if change.change is None or change.interval is None:
        return "-", "-"
    low, high = (_signed(value) for value in (change.interval.low, change.interval.high))
    return f"{_signed(change.change)} {change.unit}", f"[{low}, {high}]"


def _signed(value: float) -> str:
    rounded = round(value, 2)
    return number_text(rounded) if rounded < 0 else f"+{number_text(abs(rounded))}"


def _doubts(record: RunRecord) -> list[str]:
    """Why a run is no sound basis for a comparison, which is made of answered requests only."""
    return [*_doubts_of_the_target(record), *_doubts_of_the_verdict(record)]


def _doubts_of_the_target(record: RunRecord) -> list[str]:
    """A run that failed may lack what would have been slow, and look better than it was."""
    lacking = []
    if record.in_flight.cut:
        lacking.append(
            f"run {record.id} had {record.in_flight.cut} requests cut off in flight, which cannot be compared"
        )
    if pause := max((each.end_s - each.start_s for each in record.silences if each.doubtful), default=0.0):
        lacking.append(f"run {record.id} answered nobody for {pause:.1f} s while users waited")
    return lacking


def _doubts_of_the_verdict(record: RunRecord) -> list[str]:
    if record.verdict != INCONCLUSIVE:
        return []
    return [f"run {record.id} is inconclusive: {reason}" for reason in record.reasons] or [
        f"run {record.id} is inconclusive"
    ]


def setup_differences(base: RunRecord, run: RunRecord) -> list[str]:
    """How scenario, load or limits of two runs differ, one text each; empty when the runs are comparable."""
    found = []
    if _digest(base) != _digest(run):
        found.append(f"different scenario contents ({_files(base)} and {_files(run)})")
    return found + _load_differences(base, run) + _limit_differences(base, run)


def _load_differences(base: RunRecord, run: RunRecord) -> list[str]:
    settings = (
        ("number of users", base.users, run.users),
        ("spawn rate", base.spawn_rate, run.spawn_rate),
        ("rate of arrivals", ", ".join(base.rate), ", ".join(run.rate)),
        ("spread of arrivals", base.arrivals_spread, run.arrivals_spread),
        ("tags", ", ".join(base.tags), ", ".join(run.tags)),
        ("excluded tags", ", ".join(base.exclude_tags), ", ".join(run.exclude_tags)),
        ("limits", base.limits, run.limits),
    )
    return [_different(name, one, two) for name, one, two in settings if one != two]


def _limit_differences(base: RunRecord, run: RunRecord) -> list[str]:
    """Differences of the limits that were measured on services of both runs."""
    limits = [
        (f"{kind} limit of {service}", getattr(base.usage[service], field), getattr(run.usage[service], field))
        for service in sorted(set(base.usage) & set(run.usage))
        for kind, field in (("CPU", "cpu_limit"), ("memory", "mem_limit"))
    ]
    return [_different(name, one, two) for name, one, two in limits if one != two]


def _different(name: str, one: Any, two: Any) -> str:
    return f"different {name} ({one or 'none'} and {two or 'none'})"


def _digest(record: RunRecord) -> str | None:
    return record.scenario.digest if record.scenario else None


def _files(record: RunRecord) -> str:
    return ", ".join(record.scenario.files if record.scenario else ()) or "unknown"
