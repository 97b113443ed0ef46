"""The points of a study: what is known of each trial is in them, and writing them again replaces them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadstone.capacity.influx_points import study_lines
from loadstone.domain.time import parse_iso_ns
from loadstone.domain.units import MIB
from support.closed_runs import MadeRun
from support.line_protocol import parse_line
from support.studies import BEST, LESS_CPU, QUOTA, RATE_STUDY, USERS_STUDY, settings_study, trial

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.capacity.study_record import StudyRecord

SECOND = 1_000_000_000
START = parse_iso_ns("2026-11-27T12:00:00.000000Z")


def points(study: StudyRecord, results: Path) -> list[tuple[Any, dict[str, Any]]]:
    return [parse_line(line.encode()) for line in study_lines(study, results)]


def test_a_study_is_one_point_at_its_start_with_question_and_answer(tmp_path: Path):
    key, fields = points(settings_study(), tmp_path)[0]
    assert (key.measurement, key.time_ns) == ("capacity_study", START)
    assert dict(key.tags) == {"study": "20261127-120000-aaaa"}
    assert fields["question"].startswith("the cheapest limits that hold 150 users")
    assert fields["answer"].startswith("2 replicas with 0.75 CPU and 512m of memory each are enough")
    assert fields["confidence"].startswith("Over 3 trials")
    assert (fields["proved"], fields["trials"]) == (True, 8)


def test_a_study_that_goes_on_has_the_same_key_and_is_not_proved(tmp_path: Path):
    (before, fields), *_ = points(settings_study(answer=None), tmp_path)
    (after, _), *_ = points(settings_study(), tmp_path)
    assert before == after
    assert "no answer yet" in fields["answer"]
    assert (fields["confidence"], fields["proved"]) == ("", False)


def test_a_trial_is_a_point_at_the_second_in_which_its_run_started(tmp_path: Path):
    study = settings_study(trials=(trial(1, BEST, 300), trial(2, LESS_CPU, 900, bottleneck=QUOTA)))
    _, _, (key, fields) = points(study, tmp_path)
    assert (key.measurement, key.time_ns) == ("capacity_trial", START + 120 * SECOND)
    assert dict(key.tags) == {"study": study.id, "run": "20261127-120200-aaaa"}
    assert fields == {
        "number": 2, "users": 150, "outcome": "does not hold", "remark": "p95 is 900 ms, must be < 500 ms",
        "cpu_limit": 0.5, "mem_limit": 512 * MIB, "replicas": 2, "price": pytest.approx(2 * (0.5 * 0.04 + 0.5 * 0.01)),
        "rps": 148.25, "failures_pct": 0.25, "mean_ms": 450.0, "p95_ms": 900.0, "p99_ms": 1350.0, "max_ms": 2700.0,
        "margin": 0.8, "margin_se": 0.05, "cpu_cores": 0.4, "peak_mem_bytes": 301 * MIB, "throttled_pct": 83.0,
        "bottleneck": "cpu quota",
    }  # fmt: skip


def test_a_trial_whose_target_did_not_start_has_no_run_and_only_what_is_known(tmp_path: Path):
    nothing = dict.fromkeys(("rps", "cpu_cores", "peak_mem_bytes", "idle_mem_bytes", "throttled_pct"))
    broke = trial(1, BEST, None, run="", **nothing)
    (_, _), (first, fields), (second, _) = points(settings_study(trials=(broke, broke)), tmp_path)
    assert dict(first.tags) == {"study": "20261127-120000-aaaa"}
    assert (first.time_ns, second.time_ns) == (START + 1, START + 2)
    assert fields.keys() == {"number", "users", "outcome", "remark", "cpu_limit", "mem_limit", "replicas", "price"}
    assert fields["remark"] == "target ran out of memory: 1 kill"


def test_a_study_of_users_has_neither_limits_nor_prices(tmp_path: Path):
    found = points(USERS_STUDY, tmp_path)
    assert len(found) == 5
    assert not {"cpu_limit", "mem_limit", "replicas", "price"} & {name for _, fields in found for name in fields}


def test_a_trial_at_a_rate_has_it_and_no_users(tmp_path: Path):
    _, (_, fields), *_ = points(RATE_STUDY, tmp_path)
    assert fields["rate"] == 800.0
    assert "users" not in fields


def test_a_run_that_is_there_gives_its_trial_start_and_end_and_moves_nothing(tmp_path: Path):
    run = MadeRun(seconds=2, rate=5).close(tmp_path)
    study = settings_study(trials=(trial(1, BEST, 300, run=run.run),))
    (_, _), (with_run, fields) = points(study, tmp_path)
    (_, _), (without, bare) = points(study, tmp_path / "elsewhere")
    assert with_run == without
    assert fields["end_ms"] - fields["start_ms"] >= 2000
    assert fields.items() >= bare.items()
