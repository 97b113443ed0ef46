"""Conducting a study from the command line: what is checked before it begins, its trials, and its end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from loadstone.capacity.exclusive import only_study_of
from loadstone.capacity.files import write_study_files
from loadstone.capacity.find_most import find_most
from loadstone.capacity.find_setting import find_setting
from loadstone.capacity.model_report import report_of_study
from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.capacity.study_record import SettingQuestion
from loadstone.capacity.trials import Interrupted, Trials
from loadstone.capacity.view import StudyView, print_study
from loadstone.cli.common import warn
from loadstone.cli.publishing import publisher
from loadstone.cli.study_checks import fitting_rig
from loadstone.cli.study_plan import forecast_of
from loadstone.cli.study_question import asked, new_study, refuse_other_question
from loadstone.cli.study_words import goes_on, kept_words
from loadstone.cli.tagging import registry_for
from loadstone.cli.trials import Laboratory, LocalRuns, StackRuns
from loadstone.errors import ExitCode, LoadstoneError
from loadstone.launch.preflight import preflight

if TYPE_CHECKING:
    import argparse

    from loadstone.cli.common import StopFlag
    from loadstone.cli.study_line import StudyLine

__all__ = ["begin_study", "go_on_with_study"]


def begin_study(line: StudyLine, words: tuple[str, ...], stop: StopFlag) -> int:
    """A new study, which has no folder before all is checked that can be. Raises `UsageError`."""
    return _study(line, None, words, stop)


def go_on_with_study(line: StudyLine, folder: StudyFolder, stop: StopFlag) -> int:
    """A study that was interrupted or killed, or has an answer already. Raises `UsageError`."""
    return _study(line, folder, (), stop)


def _study(line: StudyLine, resumed: StudyFolder | None, words: tuple[str, ...], stop: StopFlag) -> int:
    settings = line.settings if resumed is None else replace(line.settings, results=resumed.path.parent.parent)
    rig = fitting_rig(settings, line.scenario)
    starts_later = settings.apply is not None
    scenario = preflight(settings, line.scenario, starts_later=starts_later) if line.scenario else None
    fields = asked(settings, scenario, rig)
    if resumed is None:
        study = new_study(fields, kept_words(words, has_secrets=bool(scenario and scenario.arguments)))
    else:
        study = resumed.read()
        refuse_other_question(study, fields)
    folder = resumed or StudyFolder(settings.results / STUDIES / study.id)
    runs = LocalRuns(scenario, stop, starts_later=starts_later) if scenario else StackRuns(stop)
    settings = replace(settings, objective=study.objectives)
    registry = registry_for(settings, scenario, rig)
    with ExitStack() as locks:
        for target in sorted({study.host, rig.name if rig else study.host}):
            locks.enter_context(only_study_of(target, str(folder.path.resolve())))
        if rig is not None and resumed is None:
            rig.before()  # which refuses what it could not put back
        locks.enter_context(folder.locked())
        if resumed:
            study = folder.read()  # another process may have gone on with it until now
        laboratory = Laboratory(settings, runs, rig, stop, study)
        expected = forecast_of(settings).within(settings.trials, settings.budget)
        view = StudyView(study, lambda made: expected.left_text(made, laboratory.spent_s))
        for note in (*line.notes, *(scenario.notes if scenario else ())):
            view.note(note)
        made = Trials(folder, study, laboratory.run, view, laboratory.why_not, publisher(settings, view.note))
        code = _conduct(made, laboratory, view, line.options, resumed=resumed is not None)
        if registry is not None and code != ExitCode.INTERRUPTED:
            report = report_of_study(folder, made.study, settings.results)
            view.note(registry.write(report, settings.tagged_model))
        return code


def _conduct(
    made: Trials, laboratory: Laboratory, view: StudyView, options: argparse.Namespace, *, resumed: bool
) -> int:
    """The trials and the answer; what the rig found is put back, whatever happens."""
    made.write()
    answer = made.study.answer
    try:
        if answer is None or not answer.proved or answer.open:
            laboratory.prepare(made, view.note, resumed=resumed)
            _find(made)
    except Interrupted:
        if problem := _put_back(made, laboratory, view):
            raise problem from None
        view.note(f"interrupted; {goes_on(made.folder, made.study)}")
        return ExitCode.INTERRUPTED
    except BaseException as error:
        if problem := _put_back(made, laboratory, view):
            warn(str(problem))
        elif isinstance(error, LoadstoneError):
            _add_hint(error, made)
        raise
    problem = _put_back(made, laboratory, view)
    code = print_study(made.study)
    view.note(f"page {made.folder.page}")
    write_study_files(options, made.study)
    if problem:
        raise problem
    return code


def _find(made: Trials) -> None:
    question = made.study.question
    if isinstance(question, SettingQuestion):
        find_setting(made, question)
    else:
        find_most(made, question)


def _put_back(made: Trials, laboratory: Laboratory, view: StudyView) -> LoadstoneError | None:
    """Put back what was there before the study, and write that down. Why that failed, with how to try again."""
    if laboratory.rig is None or made.study.before is None:
        return None
    try:
        view.note(laboratory.rig.restore(made.study.before))
    except LoadstoneError as error:
        _add_hint(error, made)
        return error
    made.write(before=None)
    return None


def _add_hint(error: LoadstoneError, made: Trials) -> None:
    """Say how the study goes on, where there is something from which it can."""
    study = made.study
    if study.trials or study.calibration or study.before is not None:
        how = f"Once that is mended, {goes_on(made.folder, study)}"
        error.hint = f"{error.hint.rstrip('.')}. {how}" if error.hint else how
