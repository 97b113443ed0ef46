"""A study in the terminal: a line for each trial while it goes on, and the table and the answer in the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rich.text import Text

from loadstone.domain.text import printable
from loadstone.errors import ExitCode
from loadstone.report.console import make_console
from loadstone.report.terminal import new_table

if TYPE_CHECKING:
    from rich.console import Console

    from loadstone.capacity.study_record import StudyRecord, TrialRecord
    from loadstone.capacity.trial import TrialPlan

__all__ = ["StudyView", "answer_text", "print_study"]

_STYLES: Final = {"holds": "green", "does not hold": "red", "invalid": "yellow"}


class StudyView:
    """Lines on standard output, one when a trial begins and one when it has ended."""

    def __init__(self, study: StudyRecord) -> None:
        self.note(f"study {study.id}: the most users of {study.host} with {' and '.join(study.objectives)}")

    def note(self, text: str) -> None:
        """A line of its own."""
        sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()

    def begins(self, number: int, plan: TrialPlan) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""
        self.note(f"trial {number}: {plan.what}, measured for {plan.window_s:g} s")

    def ended(self, number: int, trial: TrialRecord) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""
        why = trial.why or f"p95 {_ms(trial.p95_ms)} ms"
        self.note(f"trial {number}: {trial.users:,} users: {trial.outcome}: {why}")


def print_study(study: StudyRecord, console: Console | None = None) -> int:
    """Print the trials and the answer of a study. The exit code that it stands for."""
    console = console or make_console()
    table = new_table(console, f"study {study.id}: users of {study.host} with {' and '.join(study.objectives)}")
    for name in ("trial", "users", "req/s", "failures", "mean ms", "p95 ms", "p99 ms", "outcome", "run"):
        table.add_column(name, justify="left" if name in {"outcome", "run"} else "right")
    for number, trial in enumerate(study.trials, 1):
        table.add_row(
            str(number),
            f"{trial.users:,}",
            "-" if trial.rps is None else f"{trial.rps:,.1f}",
            f"{trial.failures_pct:.1f}%",
            *map(_ms, (trial.mean_ms, trial.p95_ms, trial.p99_ms)),
            Text(trial.outcome, _STYLES[trial.outcome]),
            trial.run,
        )
    console.print(table)
    console.print(answer_text(study), highlight=False, markup=False)
    return exit_code(study)


def answer_text(study: StudyRecord) -> str:
    """The answer in one sentence."""
    found, objectives = study.answer, " and ".join(study.objectives)
    if found is None:
        return f"There is no answer yet: `loadstone capacity --resume {study.id}` goes on with the study."
    if found.holds is None:
        held = f"No number of users that was tried held {objectives}"
    elif found.proved and found.not_held is None:
        held = f"The target holds {found.holds:,} users with {objectives}, the most that were allowed"
    elif found.proved:
        above = "are too near the limit to tell" if found.not_held_undecided else "were too many"
        return f"The target holds {found.holds:,} users with {objectives}; {found.not_held:,} {above}."
    else:
        held = f"The target holds at least {found.holds:,} users with {objectives}"
    return f"{held}. Whether it holds more is open: {found.open}." if found.open else f"{held}."


def exit_code(study: StudyRecord) -> ExitCode:
    """0: proved, 1: not even the fewest hold, 3: not proved."""
    if study.answer is None or not study.answer.proved:
        return ExitCode.INCONCLUSIVE
    return ExitCode.FAIL if study.answer.holds is None else ExitCode.PASS


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
