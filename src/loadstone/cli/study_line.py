"""The command line of a study: its settings, and its scenario, which is here or the stack's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.cli.arrivals import notes_of_arrivals
from loadstone.cli.scenario_line import peek_line, read_line, read_line_of_stack
from loadstone.cli.study_checks import check_question
from loadstone.cli.study_load import asks_rate
from loadstone.errors import UsageError
from loadstone.settings import CapacitySettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadstone.launch.scenario import Scenario

__all__ = ["StudyLine", "read_study_line"]

_LIMITS_OF_STACK: Final = (
    "without --apply or --compose-file the limits are those of loadstone's stack, which has its own scenario"
)
_CURE: Final = "Say with --apply or --compose-file how your own target gets its limits"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """What a command line asks for. Without a ``scenario`` the runs are the stack's, which has its own."""

    settings: CapacitySettings
    options: argparse.Namespace
    scenario: Scenario | None
    notes: tuple[str, ...] = ()


def read_study_line(arguments: argparse.Namespace, words: tuple[str, ...]) -> StudyLine:
    """Take the words apart, and load the scenario that they name. Raises `UsageError`."""
    is_implied = _is_of_stack(arguments, words)
    if is_implied:
        if any(peek_line(CapacitySettings, arguments, words, "locustfile")):
            raise UsageError(_LIMITS_OF_STACK, hint=f"{_CURE}, or leave -f out")
        words = ("--stack", *words)
    if in_stack := read_line_of_stack(CapacitySettings, arguments, words):
        settings, options, rest = in_stack
        check_question(settings)
        _check_fits_stack(settings, rest, is_implied=is_implied)
        return StudyLine(settings=settings, options=options, scenario=None)
    line = read_line(CapacitySettings, arguments, words, check=check_question)
    if line.settings.stack:
        _check_fits_stack(line.settings, line.scenario.arguments, is_implied=is_implied)
    if line.scenario.shape:
        raise UsageError(
            f"the load shape {line.scenario.shape} decides how many users run, so there is nothing to find",
            hint="Name a scenario without it",
        )
    if line.scenario.arrival_shape:
        raise UsageError(
            f"the arrival shape {line.scenario.arrival_shape} decides how many iterations arrive, where a study varies"
            " the number of users",
            hint="Name a scenario without it",
        )
    notes = (*line.notes, *(notes_of_arrivals(line.scenario) if asks_rate(line.settings) else ()))
    return StudyLine(settings=line.settings, options=line.options, scenario=line.scenario, notes=notes)


def _is_of_stack(arguments: argparse.Namespace, words: Sequence[str]) -> bool:
    """Whether limits are searched without a word on whose: they are those of the stack's target then."""
    try:
        known = peek_line(
            *(CapacitySettings, arguments, words), *("cpu", "memory", "rig", "find", "apply", "compose_file", "stack")
        )
    except UsageError:
        return False
    cpu, memory, rig, *others = known
    return bool(cpu and memory) and rig == "stack" and not any(others)


def _check_fits_stack(settings: CapacitySettings, arguments: tuple[str, ...], *, is_implied: bool) -> None:
    from loadstone.compose.remote import check_fits_stack  # noqa: PLC0415  (importing its HTTP client takes 0.2 s)

    if not is_implied:
        return check_fits_stack(settings, arguments)
    try:
        return check_fits_stack(settings, arguments, "there")
    except UsageError as error:
        raise UsageError(f"{_LIMITS_OF_STACK}: {error.message}", hint=f"{error.hint}. {_CURE}") from error
