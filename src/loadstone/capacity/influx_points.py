"""The points of a study in InfluxDB: one ``capacity_study``, and one ``capacity_trial`` for each trial.

All of them follow from study.json and the runs' run.json, so writing them again changes nothing, and a study that went
on replaces its points.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import RunFolder, valid_run_id
from loadstone.archive.run_json import read_record
from loadstone.capacity.answer import answer_text, confidence_text, question_text
from loadstone.capacity.grid import grid_of
from loadstone.capacity.study_record import SettingQuestion
from loadstone.domain.time import NS_PER_MS, NS_PER_S, parse_iso_ns
from loadstone.errors import UnreadableRunError
from loadstone.influx.line_protocol import FieldValue, point, tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.capacity.study_record import StudyRecord, TrialRecord

__all__ = ["study_lines"]

_MEASURED: Final = ("rps", "mean_ms", "p95_ms", "p99_ms", "max_ms")
_OF_RUN_ID: Final = "%Y%m%d-%H%M%S"
_LENGTH_OF_TIME: Final = 15


def study_lines(study: StudyRecord, results: Path) -> list[str]:
    """Everything of a study. ``results``: where its runs are; one that is gone has no start and end."""
    began_ns = parse_iso_ns(study.started_at)
    lines = [point("capacity_study" + tags({"study": study.id}), _study(study), began_ns)]
    for number, trial in enumerate(study.trials, 1):
        series = "capacity_trial" + tags({"study": study.id, "run": trial.run})
        fields = {"number": number, **dict(_trial(study, trial)), **dict(_span(results, trial.run))}
        lines.append(point(series, fields, _at_ns(trial, began_ns + number)))
    return lines


def _study(study: StudyRecord) -> dict[str, FieldValue]:
    return {
        "question": question_text(study),
        "answer": answer_text(study),
        "confidence": confidence_text(study),
        "proved": study.answer is not None and study.answer.proved,
        "trials": len(study.trials),
    }


def _trial(study: StudyRecord, trial: TrialRecord) -> Iterator[tuple[str, FieldValue]]:
    """The fields of a trial; what is not known is None."""
    yield from (
        ("users", trial.users),
        ("rate", _float(trial.rate)),
        ("outcome", trial.outcome),
        ("remark", "; ".join(trial.reasons)),
    )
    if setting := trial.setting:
        yield from (("cpu_limit", float(setting.cpu_cores)), ("mem_limit", setting.mem_bytes))
        yield "replicas", setting.replicas
        if isinstance(study.question, SettingQuestion):
            yield "price", grid_of(study.question).prices.of(setting)
    yield from ((name, _float(getattr(trial, name))) for name in _MEASURED)
    yield from (
        ("margin", _float(trial.margin)),
        ("margin_se", None if trial.margin is None else float(trial.margin_se)),
    )
    yield "failures_pct", None if trial.rps is None else float(trial.failures_pct)
    yield from (("cpu_cores", _float(trial.cpu_cores)), ("peak_mem_bytes", trial.peak_mem_bytes))
    yield "throttled_pct", _float(trial.throttled_pct)
    yield "bottleneck", trial.bottleneck.cause if trial.bottleneck else None


def _span(results: Path, run: str) -> Iterator[tuple[str, FieldValue]]:
    """Start and end of a run, for links to it."""
    with suppress(UnreadableRunError):
        record = read_record(RunFolder(results / run)) if valid_run_id(run) else None
        for name, text in (("start_ms", record.started_at), ("end_ms", record.ended_at)) if record else ():
            yield name, parse_iso_ns(text) // NS_PER_MS if text else None


def _at_ns(trial: TrialRecord, otherwise_ns: int) -> int:
    """The second in which the trial's run started, as its id says, which stays when the folder of the run has gone."""
    try:
        moment = datetime.strptime(trial.run[:_LENGTH_OF_TIME], _OF_RUN_ID).replace(tzinfo=UTC)
    except ValueError:
        return otherwise_ns
    return int(moment.timestamp()) * NS_PER_S


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
