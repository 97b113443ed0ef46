"""``loadstone capacity``: the cheapest limits that hold a load, or the most users that a target holds, by trials."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.capacity.exclusive import only_study_of
from loadstone.capacity.files import add_study_files, check_study_files, write_study_files
from loadstone.capacity.find_setting import find_setting
from loadstone.capacity.find_users import find_users
from loadstone.capacity.study import STUDIES, StudyFolder, resolve_study
from loadstone.capacity.study_record import StudyRecord, UsersQuestion
from loadstone.capacity.trials import Interrupted, Trials
from loadstone.capacity.view import StudyView, print_study
from loadstone.cli.common import Parser, StopFlag, Verb, add_options, add_results
from loadstone.cli.publishing import publisher
from loadstone.cli.rigs import rig_for
from loadstone.cli.scenario_line import peek_line, read_line, read_line_of_stack
from loadstone.cli.study_plan import print_plan, refuse_hopeless_budget
from loadstone.cli.study_question import (
    asked,
    check_question,
    new_study,
    refuse_other_question,
    refuse_other_target,
    refuse_unrecorded_usage,
)
from loadstone.cli.trials import Laboratory, LocalRuns, StackRuns
from loadstone.errors import ExitCode, LoadstoneError, UsageError
from loadstone.launch.preflight import preflight
from loadstone.settings import CapacitySettings, peek

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from loadstone.launch.scenario import Scenario

__all__ = ["CAPACITY"]

_SHOW: Final = "show"
_PLAN: Final = "plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What a command line asks for. Without a ``scenario`` the runs are the stack's, which has its own."""

    settings: CapacitySettings
    options: argparse.Namespace
    scenario: Scenario | None
    notes: tuple[str, ...] = ()


def _execute(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Find and prove, plan, or show a study. Exit code 0: proved, 1: nothing that may be tried holds, 3: not proved."""
    action, rest = (words[0], words[1:]) if words and words[0] in {_SHOW, _PLAN} else ("", words)
    if action == _SHOW:
        return _show(rest)
    resumed, rest = _resumed(rest)
    study = resumed.read() if resumed else None
    stop = StopFlag.install()
    try:
        with stop.interrupting():
            line = _read(arguments, _words(study, rest))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    check_study_files(line.options)
    if study is None:
        refuse_hopeless_budget(line.settings)
    if action == _PLAN:
        return print_plan(line.settings)
    return _study(line, resumed, study, rest, stop)


def _study(
    line: _Line, resumed: StudyFolder | None, study: StudyRecord | None, words: tuple[str, ...], stop: StopFlag
) -> int:
    """Begin a study, or go on with one."""
    refuse_other_target(line.settings, line.scenario)
    rig = rig_for(line.settings)
    scenario = preflight(line.settings, line.scenario) if line.scenario else None
    refuse_unrecorded_usage(line.settings, scenario, rig)
    fields = asked(line.settings, scenario, rig)
    if study is None:
        study = new_study(fields, words, has_secrets=bool(scenario and scenario.arguments))
    else:
        refuse_other_question(study, fields)
    folder = resumed or StudyFolder(line.settings.results / STUDIES / study.id)
    runs = LocalRuns(scenario, stop) if scenario else StackRuns(stop)
    settings = replace(line.settings, objective=study.objectives)
    with ExitStack() as locks:
        for target in sorted({study.host, rig.name if rig else study.host}):
            locks.enter_context(only_study_of(target, str(folder.path.resolve())))
        locks.enter_context(folder.locked())
        if folder.study_json.exists():  # another process may have gone on with it until now
            study = folder.read()
        if resumed:
            runs.await_idle(settings)
        view = StudyView(study)
        for note in (*line.notes, *(scenario.notes if scenario else ())):
            view.note(note)
        laboratory = Laboratory(settings, runs, rig, stop)
        made = Trials(folder, study, laboratory.run, view, laboratory.why_not, publisher(settings, view.note))
        return _conduct(made, laboratory, view, line.options)


def _read(arguments: argparse.Namespace, words: tuple[str, ...]) -> _Line:
    """The command line, of a scenario that is here or of the stack's."""
    if _is_of_stack(arguments, words):
        words = ("--stack", *words)
    if in_stack := read_line_of_stack(CapacitySettings, arguments, words):
        settings, options, rest = in_stack
        check_question(settings)
        _check_fits_stack(settings, rest)
        return _Line(settings=settings, options=options, scenario=None)
    line = read_line(CapacitySettings, arguments, words, check=check_question)
    if line.settings.stack:
        _check_fits_stack(line.settings, line.scenario.arguments)
    _refuse_shape(line.scenario)
    return _Line(settings=line.settings, options=line.options, scenario=line.scenario, notes=line.notes)


def _check_fits_stack(settings: CapacitySettings, arguments: tuple[str, ...]) -> None:
    from loadstone.compose.remote import check_fits_stack  # noqa: PLC0415  (importing its HTTP client takes 0.2 s)

    check_fits_stack(settings, arguments)


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


def _conduct(made: Trials, laboratory: Laboratory, view: StudyView, options: argparse.Namespace) -> int:
    """The trials and the answer; what the rig found is put back, whatever happens."""
    made.write()
    try:
        with _putting_back(made, laboratory, view):
            laboratory.prepare(made, view.note)
            question = made.study.question
            if isinstance(question, UsersQuestion):
                find_users(made, question)
            else:
                find_setting(made, question)
    except Interrupted:
        view.note(f"interrupted; {_goes_on(made.folder)}")
        return ExitCode.INTERRUPTED
    except LoadstoneError as error:
        error.hint = f"{error.hint.rstrip('.')}. After that, {_goes_on(made.folder)}".removeprefix(". ")
        raise
    code = print_study(made.study)
    view.note(f"page {made.folder.page}")
    write_study_files(options, made.study)
    return code


@contextmanager
def _putting_back(made: Trials, laboratory: Laboratory, view: StudyView) -> Iterator[None]:
    """What was there before the study is put back when it ends, and that is written down."""
    try:
        yield
    finally:
        if laboratory.rig is not None and made.study.before is not None:
            view.note(laboratory.rig.restore(made.study.before))
            made.write(before=None)


def _goes_on(folder: StudyFolder) -> str:
    results = folder.path.parent.parent
    return f"`{shlex.join(['loadstone', 'capacity', '--resume', folder.path.name, '--results', str(results)])}` goes on"


def _refuse_shape(scenario: Scenario) -> None:
    if scenario.shape:
        raise UsageError(
            f"the load shape {scenario.shape} decides how many users run, so there is nothing to find",
            hint="Name a scenario without it",
        )


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


def _resumed(words: Sequence[str]) -> tuple[StudyFolder | None, tuple[str, ...]]:
    """The study to go on with, if any, and the words other than its name."""
    parser = Parser(prog="loadstone capacity", add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", metavar="STUDY")
    parser.add_argument("--results")
    known, _ = parser.parse_known_args(list(words))
    if known.resume is None:
        return None, tuple(words)
    results = peek(CapacitySettings, "results", vars(known)) or Path("results")
    only = Parser(add_help=False, allow_abbrev=False)
    only.add_argument("--resume")
    _, rest = only.parse_known_args(list(words))
    return resolve_study(results, known.resume), tuple(rest)


def _words(study: StudyRecord | None, rest: tuple[str, ...]) -> tuple[str, ...]:
    """The words of the command line that began a study, and those given now."""
    if study is None:
        return rest
    if not (study.words or {"--objective", "--find"} & set(rest)):
        raise UsageError(
            f"the command line of study {study.id} was not kept: it could hold a secret",
            hint="Give its options again beside --resume",
        )
    return (*study.words, *rest)


def _configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser, CapacitySettings)
    add_study_files(parser)


CAPACITY: Final = Verb(
    name="capacity",
    help="Find the cheapest limits that hold a load, or the most users that a target holds, and prove it.",
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
