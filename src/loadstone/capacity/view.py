"""A study in the terminal: a line for each trial while it goes on, and the table and the answer in the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rich.measure import Measurement
from rich.text import Text

from loadstone.capacity.answer import USUAL_RESULTS, answer_text, confidence_text, exit_code, question_text
from loadstone.capacity.load import RATE_UNIT
from loadstone.domain.text import printable
from loadstone.domain.units import MIB
from loadstone.report.console import make_console
from loadstone.report.tables import new_table
from loadstone.report.terminal import BETTER, WORSE
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from loadstone.capacity.study_record import StudyRecord, TrialRecord
    from loadstone.capacity.trial import TrialPlan

__all__ = ["StudyView", "answer_text", "exit_code", "print_study"]

_STYLES: Final = {"holds": BETTER, "does not hold": WORSE, "invalid": "yellow"}
_INVALID: Final = "invalid"
_NOTHING: Final = "-"
_TEXTS: Final = frozenset({"outcome", "run"})
_IF_THERE_IS_ROOM: Final = (
    "failures",
    "peak memory",
    "throttled",
    "run",
    "users",
    RATE_UNIT,
    "req/s",
    "p99 ms",
    "mean ms",
)
"""The others are always there. Of these a table has, in this order, all that fit: capacity.html has the rest."""
_ANY_WIDTH: Final = 1000


class StudyView:
    """Lines on standard output, one when a trial begins and one when it has ended.

    ``left``: what is left after so many trials, as far as anybody can tell.
    """

    def __init__(self, study: StudyRecord, left: Callable[[int], str] = lambda _made: "") -> None:
        self._left = left
        self._last = {(each.load, each.setting): (number, each.outcome) for number, each in enumerate(study.trials, 1)}
        self.note(f"study {study.id}: {question_text(study)}")

    def note(self, text: str) -> None:
        """A line of its own."""
        sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()

    def begins(self, number: int, plan: TrialPlan) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""
        left, again = self._left(number - 1), ""
        if before := self._last.get((plan.load, plan.setting)):
            last, outcome = before
            again = f" again, as trial {last} was invalid" if outcome == _INVALID else " again, to be sure"
        lasts = f"measured for {plan.window_s:g} s{f' ({left})' if left else ''}"
        self.note(f"trial {number}: {plan.what}{again}, {lasts}")

    def ended(self, number: int, trial: TrialRecord) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""
        what = str(trial.load if trial.setting is None else trial.setting)
        self._last[trial.load, trial.setting] = number, trial.outcome
        cause = f" ({trial.bottleneck.cause})" if trial.bottleneck and trial.bottleneck.cause != "unknown" else ""
        self.note(f"trial {number}: {what}: {trial.outcome}: {trial.why or _figures(trial)}{cause}")


def print_study(study: StudyRecord, console: Console | None = None, results: Path = USUAL_RESULTS) -> int:
    """Print the trials and the answer of a study in a results folder. The exit code that it stands for."""
    console = console or make_console()
    console.print(_table(study, console))
    for text in filter(None, (answer_text(study, results), confidence_text(study))):
        console.print(Text(printable(text)))
    return exit_code(study)


def _table(study: StudyRecord, console: Console) -> Table:
    """All trials, with as many columns as there is room for; those without a figure come last."""
    load = study.load_unit
    columns = _columns_of_settings(load) if study.asks_setting else ("trial", load, *_COLUMNS_OF_LOADS)
    optional = [name for name in _IF_THERE_IS_ROOM if name in columns and (study.asks_setting or name != load)]
    optional.sort(key=lambda name: all(_cell(name, 0, trial).plain == _NOTHING for trial in study.trials))
    left_out = {*optional}
    least, options = [name for name in columns if name not in left_out], console.options.update(width=_ANY_WIDTH)
    table = _table_of(study, least, console)
    if Measurement.get(console, options, table).maximum > console.width:
        return _table_of(study, least, console, whole=False)
    for name in optional:
        wider = _table_of(study, [each for each in columns if each not in left_out - {name}], console)
        if Measurement.get(console, options, wider).maximum <= console.width:
            table, left_out = wider, left_out - {name}
    return table


def _table_of(study: StudyRecord, columns: Sequence[str], console: Console, *, whole: bool = True) -> Table:
    """The trials; if their cells are not to stay ``whole``, they are folded, as they would lose digits otherwise."""
    # Names and addresses are Text: rich would take the brackets of a plain string for markup.
    table = new_table(console, Text(printable(f"study {study.id}: {question_text(study)}"), "table.title"))
    for name in columns:
        table.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=whole, overflow="fold")
    for number, trial in enumerate(study.trials, 1):
        table.add_row(*(_cell(name, number, trial) for name in columns))
    return table


def _cell(name: str, number: int, trial: TrialRecord) -> Text:
    if name == "trial":
        return Text(str(number))
    if name == "outcome":
        return Text(trial.outcome, _STYLES[trial.outcome])
    return Text(printable(_CELLS[name](trial)))


_LIMITS: Final[Mapping[str, Callable[[TrialRecord], str]]] = {
    "CPU": lambda trial: f"{trial.setting.cpu_cores:g}" if trial.setting else _NOTHING,
    "memory": lambda trial: memory_text(trial.setting.mem_bytes) if trial.setting else _NOTHING,
    "replicas": lambda trial: f"{trial.setting.replicas:,}" if trial.setting else _NOTHING,
}
_USED: Final[Mapping[str, Callable[[TrialRecord], str]]] = {
    "peak memory": lambda trial: _NOTHING if trial.peak_mem_bytes is None else f"{trial.peak_mem_bytes / MIB:,.0f}m",
    "throttled": lambda trial: _NOTHING if trial.throttled_pct is None else f"{trial.throttled_pct:.0f}%",
}
_COLUMNS_OF_LOADS: Final = ("req/s", "failures", "mean ms", "p95 ms", "p99 ms", "outcome", "run")
_CELLS: Final[Mapping[str, Callable[[TrialRecord], str]]] = {
    **_LIMITS,
    **_USED,
    "users": lambda trial: trial.load.number,
    RATE_UNIT: lambda trial: trial.load.number,
    "req/s": lambda trial: _number(trial.rps),
    "failures": lambda trial: _NOTHING if trial.rps is None else f"{trial.failures_pct:.1f}%",
    "mean ms": lambda trial: _number(trial.mean_ms),
    "p95 ms": lambda trial: _number(trial.p95_ms),
    "p99 ms": lambda trial: _number(trial.p99_ms),
    "run": lambda trial: trial.run or _NOTHING,
}


def _columns_of_settings(load: str) -> Sequence[str]:
    return ("trial", *_LIMITS, load, "req/s", "failures", "p95 ms", *_USED, "outcome", "run")


def _figures(trial: TrialRecord) -> str:
    used = (
        "" if trial.throttled_pct is None else f", throttled in {trial.throttled_pct:.0f} % of periods",
        "" if trial.peak_mem_bytes is None else f", peak memory {trial.peak_mem_bytes / MIB:,.0f}m",
    )
    return f"p95 {_number(trial.p95_ms)} ms{''.join(used)}"


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.1f}"
