"""Run folders that version 0.1 wrote are still shown, compared, exported, reported, recovered and backfilled."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.run_json import encode_record
from loadstone.cli.main import main

if TYPE_CHECKING:
    from support.faulty_influx import FaultyInflux

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runs_0_1"
NORMAL, KILLED = "20260921-141320-normal", "20260921-151320-killed"
WORDS = ("reasons", "notices", "objectives")
"""Fields with sentences for people, which a newer version may put in other words."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES, tmp_path / "results"))


def document(run: str, results: Path = FIXTURES) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / run / "run.json").read_text())
    return found


def known_to(old: Any, new: Any) -> Any:
    """What ``new`` says, without the fields that ``old`` does not have."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: known_to(old[key], value) for key, value in new.items() if key in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [known_to(*pair) for pair in zip(old, new, strict=True)]
    return new


@pytest.mark.parametrize("run", [NORMAL, KILLED])
def test_run_json_of_0_1_is_read_whole_and_would_be_written_the_same(run: str):
    written = json.loads(encode_record(ClosedRun.open(RunFolder(FIXTURES / run)).record))
    known = known_to(document(run), written)
    assert known == document(run)
    orders = [json.dumps(each, indent=2).splitlines() for each in (known, document(run))]
    assert [line.partition(":")[0] for line in orders[0]] == [line.partition(":")[0] for line in orders[1]]


@pytest.mark.parametrize("run", [NORMAL, KILLED])
def test_tables_events_and_failures_of_0_1_agree_with_its_run_json(run: str):
    opened = ClosedRun.open(RunFolder(FIXTURES / run))
    assert opened.requests().rows == sum(opened.rollups().read()["n"].to_pylist()) == opened.record.requests
    assert sum(failure.occurrences for failure in opened.failures()) == opened.record.failures
    assert opened.usage().rows == 24
    assert len(list(opened.events())) == {NORMAL: 19, KILLED: 20}[run]


@pytest.mark.parametrize(("run", "verdict"), [(NORMAL, "pass"), (KILLED, "inconclusive")])
def test_a_run_of_0_1_is_listed_and_shown(run: str, verdict: str, capsys: pytest.CaptureFixture[str]):
    assert main(["runs", "--results", str(FIXTURES)]) == 0
    assert verdict in next(line for line in capsys.readouterr().out.splitlines() if run in line)
    assert main(["show", run, "--results", str(FIXTURES)]) == 0
    shown = capsys.readouterr().out
    assert f"verdict: {verdict}" in shown
    assert f"{document(run)['ledgers']['archive']['stored']:,} stored" in shown


def test_runs_of_0_1_are_compared(capsys: pytest.CaptureFixture[str]):
    assert main(["compare", NORMAL, KILLED, "--results", str(FIXTURES)]) == 0
    said = capsys.readouterr().out
    assert f"base {NORMAL}, run {KILLED}" in said
    assert "inconclusive" in said


@pytest.mark.parametrize("what", ["requests", "rollups", "usage", "stats"])
def test_a_run_of_0_1_is_exported(what: str, tmp_path: Path):
    target = tmp_path / "out.csv"
    command = ["export", NORMAL, "--what", what, "--results", str(FIXTURES), "--output", str(target)]
    assert main(command) == 0
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    run = ClosedRun.open(RunFolder(FIXTURES / NORMAL))
    expected = {
        "requests": run.record.requests,
        "rollups": run.rollups().rows,
        "usage": run.usage().rows,
        "stats": len(run.record.summary.run.names) + 1,
    }
    assert len(rows) == expected[what]


@pytest.mark.parametrize("run", [NORMAL, KILLED])
def test_a_run_of_0_1_is_reported(run: str, results: Path):
    assert main(["report", run, "--results", str(results)]) == 0
    page = (results / run / "report.html").read_text()
    assert run in page
    assert document(run)["verdict"] in page


def events(run: Path) -> list[Any]:
    """The events with what they say; a field without a value is not written by 0.1, but is since."""
    found = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [
        event | {"data": {key: value for key, value in event["data"].items() if value not in (None, False, [])}}
        for event in found
    ]


def test_a_run_of_0_1_is_recovered_to_what_it_was(results: Path):
    before = document(KILLED)
    assert main(["recover", KILLED, "--results", str(results)]) == 3
    after = known_to(before, document(KILLED, results))
    assert {key: after[key] for key in after if key not in WORDS} == {
        key: before[key] for key in before if key not in WORDS
    }
    assert [each["value"] for each in after["objectives"]] == [each["value"] for each in before["objectives"]]
    for name in ("requests", "rollups", "usage"):
        old, new = (pq.read_table(place / KILLED / f"{name}.parquet") for place in (FIXTURES, results))
        assert new.equals(old)
    assert events(results / KILLED) == events(FIXTURES / KILLED)
    for name in ("stats.csv", "stats_history.csv", "failures.csv", "exceptions.csv"):
        assert (results / KILLED / name).read_bytes() == (FIXTURES / KILLED / name).read_bytes()


def test_a_run_of_0_1_that_kept_no_journal_is_left_as_it_is_by_recovering(results: Path):
    assert main(["recover", NORMAL, "--results", str(results)]) == 0
    assert (results / NORMAL / "run.json").read_bytes() == (FIXTURES / NORMAL / "run.json").read_bytes()


def test_a_run_of_0_1_is_written_to_influxdb(results: Path, faulty_influx: FaultyInflux):
    assert main(["influx", "backfill", KILLED, "--results", str(results), "--influx-url", faulty_influx.url]) == 0
    requests = document(KILLED)["requests"]
    kinds = [key[0] for key in faulty_influx.points]
    assert (kinds.count("request"), kinds.count("run_summary"), kinds.count("objective")) == (requests, 1, 4)
    record = ClosedRun.open(RunFolder(results / KILLED)).record
    assert msgspec.to_builtins(record.ledgers.influx) == {"stored": requests, "rejected": 0, "pending": 0}
