"""Compare: what differs between two runs, how surely, and whether that is within what was asked for.

Percentiles and rates are those of the whole seconds of each run's window. A change counts as a difference when its
interval (`loadstone.gate.bootstrap.CONFIDENCE`) does not hold zero. An objective is held when the whole interval of
the change is within its limit, missed when none of it is, and undecided in between: then the runs were too short or
too noisy to tell, and the verdict is *inconclusive*.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.closed_run import load_run
from loadstone.domain.objective import Outcome, number_text
from loadstone.domain.verdict import FAIL, INCONCLUSIVE, PASS
from loadstone.errors import ExitCode, UsageError
from loadstone.gate.bootstrap import Interval, Resampled, percentile_us, relative, share_difference
from loadstone.gate.seconds import ALL, read_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadstone.archive.folder import RunFolder
    from loadstone.gate.change import ChangeObjective
    from loadstone.gate.seconds import RunSeconds

__all__ = [
    "METRICS",
    "Change",
    "ChangeResult",
    "Comparison",
    "change_of",
    "compare_runs",
    "differences",
    "judge_changes",
    "refuse_unlike",
]

METRICS: Final = ("p50", "p95", "p99", "mean", "rps", "failures")
"""What is compared for every request name."""
_CODES: Final = {PASS: ExitCode.PASS, FAIL: ExitCode.FAIL, INCONCLUSIVE: ExitCode.INCONCLUSIVE}
_FEWEST_SECONDS: Final = 5
"""Below this a block bootstrap has nothing to draw from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of one request name in both runs: ms, 1/s, or percent for failures; None without a request.

    ``change`` and ``interval`` are in percent of the base's figure, in percentage points for failures.
    """

    method: str
    name: str
    metric: str
    base: float | None
    run: float | None
    change: float | None
    interval: Interval | None

    @property
    def differs(self) -> bool:
        """Whether the change is more than chance explains."""
        return self.interval is not None and 0.0 not in self.interval

    @property
    def unit(self) -> str:
        """Unit of ``change``."""
        return "pp" if self.metric == "failures" else "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """How one objective came out; ``ok`` is None when that cannot be told."""

    text: str
    ok: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs, every change, and what came of the objectives."""

    base: Mapping[str, Any]
    run: Mapping[str, Any]
    unlike: tuple[str, ...]
    changes: tuple[Change, ...]
    results: tuple[ChangeResult, ...]
    doubts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Fail when an objective is missed; inconclusive when one is undecided, or a run was not sound; else pass."""
        if any(result.ok is False for result in self.results):
            return FAIL
        undecided = any(result.ok is None for result in self.results)
        return INCONCLUSIVE if undecided or (self.results and self.doubts) else PASS

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that says the verdict."""
        return _CODES[self.verdict]


def compare_runs(
    base: RunFolder, run: RunFolder, objectives: Sequence[ChangeObjective] = (), *, allow_unlike: bool = False
) -> Comparison:
    """Compare two closed runs. Raises `UsageError` when they are not alike, `ArchiveError` when one cannot be read."""
    documents = load_run(base), load_run(run)
    if not allow_unlike:
        refuse_unlike(*documents)
    seconds = read_seconds(base, documents[0]), read_seconds(run, documents[1])
    keys = [ALL, *sorted((set(seconds[0]) & set(seconds[1])) - {ALL})]
    changes = tuple(change for key in keys for change in _changes(key, seconds[0][key], seconds[1][key]))
    return Comparison(
        base=documents[0],
        run=documents[1],
        unlike=tuple(differences(*documents)),
        changes=changes,
        results=judge_changes(objectives, seconds),
        doubts=tuple(doubt for document in documents for doubt in _doubts(document)),
    )


def _changes(key: tuple[str, str], base: RunSeconds, run: RunSeconds) -> list[Change]:
    drawn = Resampled(base, stream=0), Resampled(run, stream=1)
    return [change_of(key, metric, *drawn) for metric in METRICS]


def change_of(key: tuple[str, str], metric: str, base: Resampled, run: Resampled) -> Change:
    """The change of one metric: a percentile such as ``p95``, ``mean``, ``rps`` or ``failures``."""
    figures = [_figure(metric, drawn.seconds) for drawn in (base, run)]
    change, interval = _difference(metric, figures, base, run)
    shown = [figure if isfinite(figure) else None for figure in figures]
    method, name = key
    return Change(
        method=method, name=name, metric=metric, base=shown[0], run=shown[1], change=change, interval=interval
    )


def _difference(
    metric: str, figures: Sequence[float], base: Resampled, run: Resampled
) -> tuple[float | None, Interval | None]:
    if not all(map(isfinite, figures)) or min(len(base.seconds), len(run.seconds)) < _FEWEST_SECONDS:
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
        return float(seconds.rt_sum_us.sum()) / n / 1000
    return percentile_us(seconds, float(metric[1:])) / 1000


def _draws(metric: str, drawn: Resampled) -> Any:
    if metric == "rps":
        return drawn.rates()
    return drawn.means_us() if metric == "mean" else drawn.percentiles_us(float(metric[1:]))


def judge_changes(
    objectives: Sequence[ChangeObjective],
    seconds: tuple[Mapping[tuple[str, str], RunSeconds], Mapping[tuple[str, str], RunSeconds]],
) -> tuple[ChangeResult, ...]:
    """Hold each objective against the seconds of base and run. Raises `UsageError` for a name that neither knows."""
    results = []
    for objective in objectives:
        key = _key(objective, seconds[0], seconds[1])
        drawn = Resampled(seconds[0][key], stream=0), Resampled(seconds[1][key], stream=1)
        results.append(_judge(objective, change_of(key, objective.metric, *drawn)))
    return tuple(results)


def _key(objective: ChangeObjective, *runs: Mapping[tuple[str, str], RunSeconds]) -> tuple[str, str]:
    if objective.name is None:
        return ALL
    both = (set(runs[0]) & set(runs[1])) - {ALL}
    found = [key for key in sorted(both) if objective.name in {key[1], f"{key[0]} {key[1]}".strip()}]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{method} {name}".strip() for method, name in (found or sorted(both)))
    raise UsageError(
        f"objective {objective.text!r}: {objective.name!r} names {len(found)} requests that both runs have",
        hint=f"There are: {known or 'none'}",
    )


def _judge(objective: ChangeObjective, change: Change) -> ChangeResult:
    if change.change is None or change.interval is None:
        return ChangeResult(text=objective.text, ok=None, reason=f"{objective.metric} could not be compared")
    ends = {objective.holds(change.interval.low), objective.holds(change.interval.high)}
    ok = None if len(ends) > 1 else ends.pop()
    return ChangeResult(text=objective.text, ok=ok, reason=f"{change_text(change)}: {Outcome.of(ok)}")


def change_text(change: Change) -> str:
    """A change with its interval, for people: ``p95 +7.1 % [+3.0, +11.2]``."""
    if change.change is None or change.interval is None:
        return f"{change.metric} -"
    low, high = (_signed(value) for value in (change.interval.low, change.interval.high))
    return f"{change.metric} {_signed(change.change)} {change.unit} [{low}, {high}]"


def _signed(value: float) -> str:
    text = number_text(round(value, 2))
    return text if text.startswith("-") else f"+{text}"


def _doubts(run: Mapping[str, Any]) -> list[str]:
    """Why a run is no basis for a comparison."""
    if run["verdict"] != INCONCLUSIVE:
        return []
    return [f"run {run['id']} is inconclusive: {reason}" for reason in run["reasons"]] or [
        f"run {run['id']} is inconclusive"
    ]


_SETTING_WORDS: Final = {
    "users": "users",
    "spawn_rate": "spawn rate",
    "tags": "tags",
    "exclude_tags": "excluded tags",
    "limits": "limits",
}


def differences(base: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """What makes these two runs unlike, in words; nothing when they are alike."""
    found = []
    if _digest(base) != _digest(run):
        found.append(f"other scenario ({_scenario(base)} and {_scenario(run)}, contents differ)")
    found += [
        f"other {word} ({base.get(key)} and {run.get(key)})"
        for key, word in _SETTING_WORDS.items()
        if base.get(key) != run.get(key)
    ]
    return found + _limits(base, run)


def refuse_unlike(base: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise `UsageError` when the runs are not alike."""
    found = differences(base, run)
    if found:
        raise UsageError(
            f"runs {base['id']} and {run['id']} are not alike: {'; '.join(found)}",
            hint="Compare runs of the same load, or say --allow-unlike",
        )


def _limits(base: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """Limits that the services were seen with."""
    found = []
    for service in sorted(set(base["usage"]) & set(run["usage"])):
        for key, word in (("cpu_limit", "CPU limit"), ("mem_limit", "memory limit")):
            one, two = base["usage"][service].get(key), run["usage"][service].get(key)
            if one != two:
                found.append(f"other {word} of {service} ({one or 'none'} and {two or 'none'})")
    return found


def _digest(run: Mapping[str, Any]) -> Any:
    return (run.get("scenario") or {}).get("digest")


def _scenario(run: Mapping[str, Any]) -> str:
    return ", ".join((run.get("scenario") or {}).get("files", [])) or "unknown"
