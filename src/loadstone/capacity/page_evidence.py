"""The evidence on a study's page: what the answer, and what is next to it, showed, with bottleneck and cure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.capacity.answer import bottleneck_at, margin_text, setting_text
from loadstone.capacity.markup import Markup, section, table
from loadstone.capacity.page_plots import tried_settings
from loadstone.capacity.study_record import SettingAnswerRecord
from loadstone.capacity.texts import NOTHING, count_text, mib_text, number, percent, word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadstone.capacity.study_record import BottleneckRecord, StudyRecord, TrialRecord, UsersAnswerRecord
    from loadstone.rig.rig import Setting

__all__ = ["evidence_section"]

_OUTCOMES: Final[Mapping[str, str]] = {
    "holds": "holds",
    "fails": "does not hold",
    "breaks": "does not hold",
    "undecided": "undecided",
    "invalid": "invalid",
}
_COLUMNS: Final = (
    *(("tried", ""), ("found", ""), ("bottleneck", ""), ("evidence", "long"), ("what helps", "long")),
    *(("nearest objective", ""), ("trials", "number"), ("p95 ms", "number")),
    *(("CPU used, cores", "number"), ("throttled", "number"), ("peak memory", "number")),
)


def evidence_section(study: StudyRecord) -> Markup | None:
    """The answer and its smaller neighbours, or the users above it; all settings where none holds."""
    answer = study.answer
    if answer is None:
        return None
    rows = [*(_of_settings(study, answer) if isinstance(answer, SettingAnswerRecord) else _of_users(study, answer))]
    return section("evidence", "Evidence", table("Evidence", _COLUMNS, rows)) if rows else None


def _of_settings(study: StudyRecord, answer: SettingAnswerRecord) -> Iterator[Sequence[str]]:
    if answer.setting is None:
        for tried in tried_settings(study):
            yield _row(setting_text(tried.setting), tried.state, "", *_at(study, tried.setting))
        return
    found = [(answer.setting, "holds", answer.margin, answer.margin_se)]
    found += [(each.setting, each.finding, each.margin, each.margin_se) for each in answer.smaller]
    for setting, finding, margin, se in found:
        nearest = "" if margin is None else margin_text(margin, se)
        yield _row(setting_text(setting), finding, nearest, *_at(study, setting))


def _at(study: StudyRecord, setting: Setting) -> tuple[Sequence[TrialRecord], BottleneckRecord | None]:
    trials = [trial for trial in study.trials if trial.setting == setting]
    return trials, bottleneck_at(study, setting=setting)


def _of_users(study: StudyRecord, answer: UsersAnswerRecord) -> Iterator[Sequence[str]]:
    levels = ((answer.holds, "holds"), (answer.not_held, "undecided" if answer.not_held_undecided else "fails"))
    for users, finding in levels:
        if users is not None:
            trials = [trial for trial in study.trials if trial.users == users]
            margins = [trial.margin for trial in trials if trial.margin is not None]
            nearest = margin_text(median(margins), 0.0) if margins else ""
            yield _row(f"{users:,} users", finding, nearest, trials, bottleneck_at(study, users=users))


def _row(
    what: str, finding: str, nearest: str, trials: Sequence[TrialRecord], found: BottleneckRecord | None
) -> Sequence[str]:
    valid = [trial for trial in trials if trial.outcome != "invalid"]
    peaks = [trial.peak_mem_bytes for trial in valid if trial.peak_mem_bytes is not None]
    return (
        what,
        word(_OUTCOMES[finding]),
        found.cause if found else NOTHING,
        found.evidence if found else next((trial.why for trial in valid or trials if trial.why), NOTHING),
        (found.cure or NOTHING) if found else NOTHING,
        nearest or NOTHING,
        count_text(len(valid)),
        number(_middle(valid, "p95_ms")),
        number(_middle(valid, "cpu_cores")),
        percent(_middle(valid, "throttled_pct")),
        mib_text(max(peaks, default=None)),
    )


def _middle(trials: Sequence[TrialRecord], field: str) -> float | None:
    values = [value for trial in trials if (value := getattr(trial, field)) is not None]
    return median(values) if values else None
