"""A study as a report on the model version that its target served: only a proved answer becomes tags."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.capacity.answer import answer_text
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion
from loadstone.errors import PlatformError
from loadstone.registry.report import ModelReport, ServedVersion
from loadstone.registry.run_report import served_by
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.capacity.load import Load
    from loadstone.capacity.study import StudyFolder
    from loadstone.capacity.study_record import StudyRecord, TrialRecord

__all__ = ["report_of_study"]

_PREFIX: Final = "loadstone.capacity."
_FIGURES: Final = (
    *("users", "rate", "rps", "failures_pct", "mean_ms", "p95_ms", "p99_ms", "max_ms"),
    *("cpu_cores", "peak_mem_bytes", "throttled_pct"),
)


def report_of_study(folder: StudyFolder, study: StudyRecord, results: Path) -> ModelReport:
    """Its answer as tags, its trials as steps of metrics. Raises `ArchiveError`, and `PlatformError`."""
    return ModelReport(
        name=study.id,
        prefix=_PREFIX,
        served=_served(study, results),
        tags={f"{_PREFIX}{name}": value for name, value in _tags(study)},
        params={"answer": answer_text(study), "host": study.host, "limits_of": study.rig or "none"},
        metrics={name: [getattr(trial, name) for trial in study.trials] for name in _FIGURES},
        files=[file for file in sorted(folder.path.iterdir()) if file.suffix in {".json", ".csv", ".html"}],
    )


def _served(study: StudyRecord, results: Path) -> ServedVersion | None:
    """The version that all trials ran on. Raises `PlatformError` where they ran on several."""
    runs = [trial.run for trial in study.trials if trial.run and trial.outcome != "invalid"]
    found = {served_by(ClosedRun.open(RunFolder(results / run)).record) for run in runs}
    told = {each for each in found if each is not None and each.trained_by}
    if len({each and each.uri for each in found}) > 1 or len(told) > 1:
        versions = ", ".join(sorted(map(_version_text, found)))
        raise PlatformError(
            f"the trials of study {study.id} ran on several model versions ({versions}), so none was tagged",
            hint="Pin the version, for instance with MODEL_URI=models:/NAME/VERSION, and start a new study",
        )
    return next(iter(told or found), None)


def _version_text(served: ServedVersion | None) -> str:
    if served is None:
        return "an unknown one"
    return f"{served.uri} of the run {served.trained_by}" if served.trained_by else served.uri


def _tags(study: StudyRecord) -> Iterator[tuple[str, str]]:
    answer = study.answer
    if answer is None or not answer.proved:
        return
    yield "study", study.id
    yield "started_at", study.started_at
    yield "objectives", "; ".join(study.objectives)
    if isinstance(answer, SettingAnswerRecord):
        held = answer.setting
        yield "holds", "yes" if held else "no"
        if isinstance(study.question, SettingQuestion):
            yield _load(study.question.load)
        if held:
            yield "cpu", f"{held.cpu_cores:g}"
            yield "memory", memory_text(held.mem_bytes)
            yield "replicas", str(held.replicas)
            yield from _latency([each for each in study.trials if each.setting == held])
    else:
        yield "holds", "yes" if answer.highest else "no"
        if answer.highest:
            yield _load(answer.highest)
            yield from _latency([each for each in study.trials if each.load == answer.highest])


def _load(load: Load) -> tuple[str, str]:
    """A number of users, or arrivals per second."""
    return ("rate" if load.is_rate else "users"), load.number.replace(",", "")


def _latency(trials: list[TrialRecord]) -> Iterator[tuple[str, str]]:
    """The median of the trials of the answer that held."""
    held = [each.p95_ms for each in trials if each.outcome == "holds" and each.p95_ms is not None]
    if held:
        yield "p95_ms", f"{median(held):.6g}"
