"""Finding the cheapest setting: the search for it, conducted by trials.

A setting that cannot be measured, because trials of it stay invalid or there is no time, ends the search with the best
that was proved until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.capacity.evidence import SettingObservation
from loadstone.capacity.grid import grid_of
from loadstone.capacity.search import Answer, Ask, Cheapest
from loadstone.capacity.study_record import NeighbourRecord, SettingAnswerRecord
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import OutOfReach, converse
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from loadstone.capacity.evidence import Finding
    from loadstone.capacity.grid import Point
    from loadstone.capacity.study_record import SettingQuestion, StudyRecord
    from loadstone.capacity.trials import Trials
    from loadstone.rig.rig import Setting

__all__ = ["find_setting"]

_NOT_CLEAR: Final = (
    "the trials had too few requests, or were too near the limits, to prove anything; a new study"
    " with a longer --measure may decide it"
)


def find_setting(trials: Trials, question: SettingQuestion) -> StudyRecord:
    """The study with all its trials and its answer. Raises `Interrupted`, after which it can be resumed."""
    search = Cheapest(grid_of(question), first_look_s=trials.study.measure_s)

    def observe(ask: Ask) -> SettingObservation:
        setting = search.grid.setting(ask.point)
        trial = trials.valid(
            TrialPlan(users=question.users, rate=question.rate, window_s=ask.window_s, setting=setting)
        )
        return SettingObservation(
            margin=trial.margin,
            margin_se=trial.margin_se,
            cpu_cores=trial.cpu_cores,
            peak_mem_bytes=trial.peak_mem_bytes,
            idle_mem_bytes=trial.idle_mem_bytes,
        )

    try:
        answer, left_open = converse(search.steps(), observe), ""
    except OutOfReach as limit:
        answer, left_open = search.best_known(), str(limit)
    if answer.nothing_holds and (why := _did_not_start(trials.study, search.grid.setting(search.grid.top))):
        answer, left_open = Answer(point=None), why
    if answer.point is not None:
        left_open = left_open or _unsearched_memory(trials.study, question)
    return trials.write(answer=_told(search, answer, left_open))


def _unsearched_memory(study: StudyRecord, question: SettingQuestion) -> str:
    """Why less memory was not tried, where there is less; empty where somebody measures what is used."""
    if len(question.mem_bytes) == 1 or any(trial.peak_mem_bytes is not None for trial in study.trials):
        return ""
    return f"nobody measures the target's memory, so less than {memory_text(question.mem_bytes[-1])} was not tried"


def _did_not_start(study: StudyRecord, top: Setting) -> str:
    """Why the largest setting never started, which proves nothing about it; empty if it did."""
    tried = [trial for trial in study.trials if trial.setting == top and trial.outcome != "invalid"]
    return "" if any(trial.run for trial in tried) else f"{top} never started: {tried[-1].why}"


def _told(search: Cheapest, answer: Answer, left_open: str) -> SettingAnswerRecord:
    if answer.point is None:
        if not (answer.nothing_holds or left_open):
            left_open = _NOT_CLEAR
        return SettingAnswerRecord(setting=None, proved=answer.nothing_holds, open=left_open)
    margin, margin_se, _ = search.evidence.margin(answer.point) or (None, 0.0, 0)
    return SettingAnswerRecord(
        setting=search.grid.setting(answer.point),
        price=search.grid.cost(answer.point),
        margin=margin,
        margin_se=margin_se,
        trials=len(search.evidence.of(answer.point)),
        smaller=tuple(_neighbour(search, point, found) for point, found in answer.smaller),
        smaller_fails=answer.smaller_fails,
        proved=not left_open,
        open=left_open,
    )


def _neighbour(search: Cheapest, point: Point, found: Finding) -> NeighbourRecord:
    margin, margin_se, trials = search.evidence.margin(point) or (None, 0.0, len(search.evidence.of(point)))
    return NeighbourRecord(
        setting=search.grid.setting(point), finding=found.value, margin=margin, margin_se=margin_se, trials=trials
    )
