"""What a study tells the registry of the model that it tested: only what was proved, of one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.model_report import report_of_study
from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.errors import PlatformError
from support.closed_runs import MadeRun
from support.studies import BEST, RATE_STUDY, TOP, USERS_STUDY, settings_study, trial

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.capacity.study_record import StudyRecord
    from loadstone.registry.report import ModelReport

SERVED = {"model": "demand", "version": "3", "run_id": "abc"}
FIRST, SECOND = "20260920-120000-aaaa", "20260920-120100-bbbb"


def reported(results: Path, study: StudyRecord) -> ModelReport:
    folder = StudyFolder(results / STUDIES / study.id)
    folder.write(study)
    return report_of_study(folder, study, results)


def made(results: Path, run: str, target: dict[str, Any] | None = SERVED) -> str:
    MadeRun(run=run, seconds=5, rate=4, identity={"target": target}).close(results)
    return run


def tags_of(report: ModelReport) -> dict[str, str]:
    return {name.removeprefix("loadstone.capacity."): value for name, value in report.tags.items()}


def test_a_proved_answer_becomes_tags_and_every_trial_a_step(tmp_path: Path):
    run = made(tmp_path, FIRST)
    trials = (trial(1, TOP, 200, run=run), trial(2, BEST, 300, run=run), trial(3, BEST, 310, run=run))
    report = reported(tmp_path, settings_study(trials=(*trials, trial(4, BEST, 320, run=run))))
    assert report.served is not None
    assert (report.served.uri, report.served.trained_by) == ("models:/demand/3", "abc")
    assert tags_of(report) == {
        "study": "20261127-120000-aaaa",
        "started_at": "2026-11-27T12:00:00.000000Z",
        "objectives": "p95<500ms; failures<=1%",
        "holds": "yes",
        "users": "150",
        "cpu": "0.75",
        "memory": "512m",
        "replicas": "2",
        "p95_ms": "310",
    }
    assert report.metrics["p95_ms"] == [200, 300, 310, 320]
    assert [file.name for file in report.files] == ["study.json"]


def test_the_most_users_become_a_tag_with_the_latency_of_their_trials(tmp_path: Path):
    run = made(tmp_path, FIRST)
    trials = tuple(replace(each, run=run) for each in USERS_STUDY.trials)
    tags = tags_of(reported(tmp_path, replace(USERS_STUDY, trials=trials)))
    assert (tags["users"], tags["p95_ms"], tags["holds"]) == ("140", "450", "yes")
    assert "cpu" not in tags


def test_the_most_arrivals_become_a_tag_with_the_latency_of_their_trials(tmp_path: Path):
    run = made(tmp_path, FIRST)
    trials = tuple(replace(each, run=run) for each in RATE_STUDY.trials)
    report = reported(tmp_path, replace(RATE_STUDY, trials=trials))
    tags = tags_of(report)
    assert (tags["rate"], tags["p95_ms"], tags["holds"]) == ("1130.5", "450", "yes")
    assert "users" not in tags
    assert report.metrics["rate"] == [800.0, 1600.0, 1130.5]


def test_an_answer_that_is_not_proved_becomes_no_tag(tmp_path: Path):
    run = made(tmp_path, FIRST)
    answer = replace(settings_study().answer, proved=False, open="there was no time left")
    assert not reported(tmp_path, settings_study(trials=(trial(1, TOP, 200, run=run),), answer=answer)).tags


def test_a_target_that_names_no_model_leaves_the_version_open(tmp_path: Path):
    run = made(tmp_path, FIRST, target=None)
    assert reported(tmp_path, settings_study(trials=(trial(1, TOP, 200, run=run),))).served is None


def test_trials_of_two_versions_are_refused(tmp_path: Path):
    runs = made(tmp_path, FIRST), made(tmp_path, SECOND, {**SERVED, "version": "4"})
    trials = tuple(trial(number, TOP, 200, run=run) for number, run in enumerate(runs, 1))
    with pytest.raises(PlatformError, match=r"models:/demand/3 of the run abc, models:/demand/4 of the run abc"):
        reported(tmp_path, settings_study(trials=trials))


def test_trials_of_which_only_some_tell_the_training_run_are_of_one_version(tmp_path: Path):
    """The stack's target has told it since a later version of loadstone only."""
    runs = made(tmp_path, FIRST, {"model": "demand", "version": "3"}), made(tmp_path, SECOND)
    trials = tuple(trial(number, TOP, 200, run=run) for number, run in enumerate(runs, 1))
    report = reported(tmp_path, settings_study(trials=trials))
    assert report.served is not None
    assert (report.served.uri, report.served.trained_by) == ("models:/demand/3", "abc")


def test_trials_of_two_models_of_one_version_are_refused(tmp_path: Path):
    """Registries number their versions each on their own."""
    runs = made(tmp_path, FIRST), made(tmp_path, SECOND, {**SERVED, "run_id": "def"})
    trials = tuple(trial(number, TOP, 200, run=run) for number, run in enumerate(runs, 1))
    with pytest.raises(PlatformError, match=r"models:/demand/3 of the run abc, models:/demand/3 of the run def"):
        reported(tmp_path, settings_study(trials=trials))


def test_an_invalid_trial_of_another_version_does_not_count(tmp_path: Path):
    runs = made(tmp_path, FIRST), made(tmp_path, SECOND, {**SERVED, "version": "4"})
    invalid = trial(2, TOP, None, run=runs[1], outcome="invalid", broke=False)
    report = reported(tmp_path, settings_study(trials=(trial(1, TOP, 200, run=runs[0]), invalid)))
    assert report.served is not None
    assert report.served.uri == "models:/demand/3"
