"""`loadstone influx backfill`: it ends with a sentence and an exit code, whatever InfluxDB answers.

The double stands for InfluxDB 2.9.1, which cannot be had here, in the words that a real one gave.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.charts.archive_data import report_data
from loadstone.cli import influx
from loadstone.cli.main import main
from loadstone.errors import ExitCode
from support.closed_runs import MadeRun
from support.faulty_influx import FaultyInflux, not_found, unauthorized, unavailable
from support.processes import free_port
from support.run_maker import SECOND, START

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

SECONDS, RATE = 20, 40
ALL = SECONDS * RATE


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return MadeRun(seconds=SECONDS, rate=RATE).close(tmp_path / "results")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influx, "_REFUSED_PAUSE_S", 0.01)
    monkeypatch.setattr(influx, "_PATIENCE_S", 1.0)


def backfill(run: RunFolder, url: str) -> int:
    return main(["influx", "backfill", run.run, "--results", str(run.path.parent), "--influx-url", url])


def ledger(run: RunFolder) -> dict | None:
    return json.loads((run.path / "run.json").read_text())["ledgers"].get("influx")


def test_a_whole_run_is_written_and_is_exit_code_0(run: RunFolder, faulty_influx: FaultyInflux):
    assert backfill(run, faulty_influx.url) == ExitCode.PASS
    assert sum(key.measurement == "request" for key in faulty_influx.points) == ALL
    assert ledger(run) == {"stored": ALL, "rejected": 0, "pending": 0}


@pytest.mark.attack("wrong token, bucket or address", "a backfill ends after three tries with cause and cure")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(not_found(), "Correct --influx-org and --influx-bucket", id="404"),
        pytest.param(unauthorized(), "Correct the token in the file", id="401"),
    ],
)
def test_a_refused_backfill_gives_up_with_a_sentence(
    run: RunFolder, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str], answer, said: str
):
    faulty_influx.queue(*[answer] * 20)
    assert backfill(run, faulty_influx.url) == ExitCode.USAGE
    assert len(faulty_influx.requests) == 3
    told = capsys.readouterr().err
    assert f"HTTP {answer.status}" in told
    assert said in told
    assert ledger(run) is None


@pytest.mark.usefixtures("impatient")
def test_a_token_that_is_corrected_in_time_is_used(run: RunFolder, faulty_influx: FaultyInflux):
    faulty_influx.queue(unauthorized(), unauthorized())
    assert backfill(run, faulty_influx.url) == ExitCode.PASS


@pytest.mark.attack("InfluxDB away", "a backfill ends after a minute with cause and cure")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("there", [False, True], ids=["nothing listens", "503"])
def test_a_backfill_of_an_influxdb_that_is_away_gives_up_with_a_sentence(
    run: RunFolder, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str], *, there: bool
):
    faulty_influx.queue(*[unavailable()] * 100)
    assert backfill(run, faulty_influx.url if there else f"http://127.0.0.1:{free_port()}") == ExitCode.PLATFORM
    told = capsys.readouterr().err
    assert "has written nothing for 1 s" in told
    assert ("See the log of InfluxDB" if there else "Start InfluxDB") in told


@pytest.mark.attack("points beyond retention", "a backfill says so before it writes the run")
def test_a_run_that_is_wholly_beyond_retention_is_refused_after_two_requests(
    run: RunFolder, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    faulty_influx.kept_since_ns = START + 100 * SECOND
    assert backfill(run, faulty_influx.url) == ExitCode.USAGE
    assert len(faulty_influx.requests) == 2
    told = capsys.readouterr().err
    assert "InfluxDB keeps points for 72h0m0s" in told
    assert "it would reject all of it" in told
    assert "INFLUX_RETENTION" in told


@pytest.mark.attack("points beyond retention", "a backfill says so before it writes the run")
def test_a_run_that_is_partly_beyond_retention_says_so_first_and_counts_what_was_rejected(
    run: RunFolder, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    faulty_influx.kept_since_ns = START + 10 * SECOND
    assert backfill(run, faulty_influx.url) == ExitCode.FAIL
    stored = sum(key.measurement == "request" for key in faulty_influx.points)
    told = ledger(run)
    assert told is not None
    assert (told["stored"], told["rejected"]) == (stored, ALL - stored)
    assert 0 < stored < ALL
    assert told["first_rejected"].startswith("request,")
    assert "outside retention policy" in told["rejected_reason"]
    captured = capsys.readouterr()
    assert captured.err.index("its first requests will be rejected") < captured.err.index("InfluxDB rejected them")
    assert f"{ALL - stored} rejected" in captured.out
    main(["show", run.run, "--results", str(run.path.parent)])
    assert f"InfluxDB rejected {ALL - stored} requests" in capsys.readouterr().out.replace("\n", " ")
    notes = report_data(ClosedRun.open(run)).notes
    assert any(f"InfluxDB rejected {ALL - stored} requests" in note for note in notes)


@pytest.mark.attack("every line rejected", "exit code 1 with cause, first line and count; secrets are masked")
def test_a_backfill_of_which_everything_is_rejected_is_exit_code_1(
    tmp_path: Path, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    run = MadeRun(seconds=2, rate=5, names=(("GET", "/poison?token=geheim"),)).close(tmp_path / "results")
    assert backfill(run, faulty_influx.url) == ExitCode.FAIL
    captured = capsys.readouterr()
    assert "0 requests stored, 10 rejected" in captured.out
    assert "unable to parse" in captured.err
    assert "dead_letters:influx" in captured.err
    assert "geheim" not in captured.err + captured.out + (run.path / "run.json").read_text()
