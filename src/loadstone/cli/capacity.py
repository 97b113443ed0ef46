"""``loadstone capacity``: the cheapest limits that hold a load, or the most load that a target holds, by trials."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.capacity.files import add_study_files, check_study_files, write_study_files
from loadstone.capacity.study import resolve_study
from loadstone.capacity.view import print_study
from loadstone.cli.common import Parser, StopFlag, Verb, add_options, add_results
from loadstone.cli.study_checks import fitting_rig
from loadstone.cli.study_conduct import begin_study, go_on_with_study
from loadstone.cli.study_line import read_study_line
from loadstone.cli.study_plan import print_plan, refuse_hopeless_budget
from loadstone.cli.study_words import resumed, words_of
from loadstone.errors import ExitCode, UsageError
from loadstone.settings import CapacitySettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.cli.study_line import StudyLine

__all__ = ["CAPACITY"]

_SHOW: Final = "show"
_PLAN: Final = "plan"
_NOT_FOR_PLANS: Final = ("--resume", "--json", "--markdown", "--junit")


def _execute(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Find and prove, plan, or show a study. Exit code 0: proved, 1: nothing that may be tried holds, 3: not proved."""
    if words[:1] == (_SHOW,):
        return _show(words[1:])
    stop = StopFlag.install()
    if words[:1] == (_PLAN,):
        return _plan(arguments, words[1:], stop)
    folder, rest = resumed(words)
    line = _read(arguments, words_of(folder.read(), arguments, rest) if folder else rest, stop)
    if line is None:
        return ExitCode.INTERRUPTED
    check_study_files(line.options)
    if folder is not None:
        return go_on_with_study(line, folder, stop)
    refuse_hopeless_budget(line.settings)
    return begin_study(line, rest, stop)


def _read(arguments: argparse.Namespace, words: tuple[str, ...], stop: StopFlag) -> StudyLine | None:
    """The command line; None when reading it was interrupted."""
    try:
        with stop.interrupting():
            return read_study_line(arguments, words)
    except KeyboardInterrupt:
        return None


def _plan(arguments: argparse.Namespace, words: tuple[str, ...], stop: StopFlag) -> int:
    """Say what a study would try. It is refused where the study would be."""
    parser = Parser(
        prog="loadstone capacity plan",
        usage="loadstone capacity plan [OPTION ...] [OPTION OF LOCUST OR THE SCENARIO ...] [USER CLASS ...]",
        description="Say what a study with these options would try, how many trials to expect and how long they take."
        " Nothing is started.",
        allow_abbrev=False,
    )
    add_options(parser, CapacitySettings)
    for name in _NOT_FOR_PLANS:
        parser.add_argument(name, help=argparse.SUPPRESS, metavar="VALUE")
    line = _read(argparse.Namespace(**{**vars(arguments), "parser": parser}), words, stop)
    if line is None:
        return ExitCode.INTERRUPTED
    for name in _NOT_FOR_PLANS:
        if getattr(line.options, name.removeprefix("--"), None) is not None:
            raise UsageError(f"a plan is made before a study begins, so {name} has no use", hint="Leave it out")
    fitting_rig(line.settings, line.scenario)
    refuse_hopeless_budget(line.settings)
    return print_plan(line.settings)


def _show(words: Sequence[str]) -> int:
    parser = Parser(prog="loadstone capacity show", description="Print the trials and the answer of a study.")
    parser.add_argument("study", metavar="STUDY", help="study id, a unique prefix of one, or `latest`")
    add_results(parser)
    add_study_files(parser)
    arguments = parser.parse_args(list(words))
    check_study_files(arguments)
    folder = resolve_study(Path(arguments.results), arguments.study)
    study = folder.read()
    code = print_study(study, results=folder.path.parent.parent)
    write_study_files(arguments, study)
    return code


def _configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser, CapacitySettings)
    parser.add_argument(
        "--resume",
        metavar="STUDY",
        help="go on with this study, by its id, a unique prefix of one, or `latest`, with the options that it has",
    )
    add_study_files(parser)


CAPACITY: Final = Verb(
    name="capacity",
    help="Find the cheapest limits that hold a load, or the most users or arrivals a second that a target holds.",
    notes=(
        "Each trial is a run, judged by the objectives. `--resume STUDY` goes on with a study that was interrupted,"
        " `loadstone capacity plan` says what a study would try, and `loadstone capacity show STUDY` prints one."
        " Options that are not listed here go to Locust or the scenario."
    ),
    configure=_configure,
    execute=_execute,
    passes_arguments_on=True,
    outlives_output=True,
)
