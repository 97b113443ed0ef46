"""The evidence on a study's page: what the answer, and what is next to it, showed, with bottleneck and cure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.capacity.markup import Markup, section, table
from loadstone.capacity.page_plots import tried_settings
from loadstone.capacity.phrases import margin_text, setting_text
from loadstone.capacity.study_record import SettingAnswerRecord
from loadstone.capacity.telling import OUTCOMES, nearest_objective, telling_trial, tried
from loadstone.capacity.texts import NOTHING, count_text, mib_text, number, percent, without_empty, word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.capacity.load import Load
    from loadstone.capacity.study_record import MostAnswerRecord, StudyRecord, TrialRecord
    from loadstone.rig.rig import Setting

__all__ = ["evidence_section"]

_COLUMNS: Final = (
    *(("tried", ""), ("found", ""), ("bottleneck", ""), ("evidence", "long"), ("what helps", "long")),
    *(("nearest objective", "long"), ("trials", "number"), ("p95 ms", "number")),
    *(("CPU used, cores", "number"), ("throttled", "number"), ("peak memory", "number")),
)


def evidence_section(study: StudyRecord) -> Markup | None:
    """The answer and its smaller neighbours, or the load above it; all settings where none holds."""
    answer = study.answer
    if answer is None:
        return None
    rows = [*(_of_settings(study, answer) if isinstance(answer, SettingAnswerRecord) else _of_load(study, answer))]
    return section("evidence", "Evidence", table("Evidence", *without_empty(_COLUMNS, rows))) if rows else None


def _of_settings(study: StudyRecord, answer: SettingAnswerRecord) -> Iterator[Sequence[str]]:
    if answer.setting is None:
        for each in tried_settings(study):
            yield _row(setting_text(each.setting), each.state, "", *_at(study, setting=each.setting))
        return
    found = [(answer.setting, "holds", answer.margin, answer.margin_se)]
    found += [(each.setting, each.finding, each.margin, each.margin_se) for each in answer.smaller]
    for setting, finding, margin, se in found:
        nearest = "" if margin is None else margin_text(margin, se)
        yield _row(setting_text(setting), finding, nearest, *_at(study, setting=setting))


def _at(
    study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None
) -> tuple[Sequence[TrialRecord], TrialRecord | None]:
    """All trials, and the one that says why it did not hold."""
    return tried(study, setting=setting, load=load), telling_trial(study, setting=setting, load=load)


def _of_load(study: StudyRecord, answer: MostAnswerRecord) -> Iterator[Sequence[str]]:
    levels = ((answer.highest, "holds"), (answer.too_much, "undecided" if answer.not_held_undecided else "fails"))
    for load, finding in levels:
        if load is not None:
            trials, telling = _at(study, load=load)
            margins = [trial.margin for trial in trials if trial.margin is not None]
            nearest = margin_text(median(margins), 0.0) if margins else ""
            yield _row(str(load), finding, nearest, trials, telling)


def _row(
    what: str, finding: str, nearest: str, trials: Sequence[TrialRecord], telling: TrialRecord | None
) -> Sequence[str]:
    found = telling.bottleneck if telling else None
    valid = [trial for trial in trials if trial.outcome != "invalid"]
    said = [telling] if telling else valid or trials
    peaks = [trial.peak_mem_bytes for trial in valid if trial.peak_mem_bytes is not None]
    return (
        what,
        word(OUTCOMES[finding]),
        found.cause if found else NOTHING,
        found.evidence if found else next((trial.why for trial in said if trial.why), NOTHING),
        (found.cure or NOTHING) if found else NOTHING,
        f"{nearest_objective(valid)} {nearest}".lstrip() if nearest else NOTHING,
        count_text(len(valid)),
        number(_middle(valid, "p95_ms")),
        number(_middle(valid, "cpu_cores")),
        percent(_middle(valid, "throttled_pct")),
        mib_text(max(peaks, default=None)),
    )


def _middle(trials: Sequence[TrialRecord], field: str) -> float | None:
    values = [value for trial in trials if (value := getattr(trial, field)) is not None]
    return median(values) if values else None
