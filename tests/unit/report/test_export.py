"""Exports of a run: every row, every format, nothing overwritten, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.cli.main import main
from loadstone.errors import ExitCode
from loadstone.report.export import FormatName, What, export, export_file
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path

FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    made = MadeRun(names=[("GET", FORMULA), ("POST", "/predict")], error="@SUM(1)", failure_share=0.2)
    return made.close(tmp_path_factory.mktemp("results"))


def exported(folder, what: What, form: FormatName) -> bytes:
    file = io.BytesIO()
    export(folder, what, form, file, lambda _: None)
    return file.getvalue() if not file.closed else b""


def rows_of_csv(folder, what: What) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported(folder, what, FormatName.CSV).decode())))


@pytest.mark.parametrize("what", [What.REQUESTS, What.ROLLUPS, What.USAGE])
def test_csv_and_jsonl_hold_every_row_of_the_archive(folder, what: What):
    path = getattr(folder, what.value)
    count = pq.read_metadata(path).num_rows
    assert len(rows_of_csv(folder, what)) == count > 0
    assert len(exported(folder, what, FormatName.JSONL).splitlines()) == count


def test_durations_in_csv_are_those_of_the_archive(folder):
    archived = pq.read_table(folder.requests)["rt_us"].to_pylist()
    assert [int(row["rt_us"]) for row in rows_of_csv(folder, What.REQUESTS)] == archived


@pytest.mark.parametrize("what", [What.REQUESTS, What.ROLLUPS])
def test_a_run_of_the_open_model_is_exported_with_its_further_columns(tmp_path: Path, what: What):
    made = MadeRun(late_ms=3.0).close(tmp_path)
    archived = pq.read_table(getattr(made, what.value))
    column = "service_us" if what is What.REQUESTS else "service_sum_us"
    assert [int(row[column]) for row in rows_of_csv(made, what)] == archived[column].to_pylist()
    lines = exported(made, what, FormatName.JSONL).splitlines()
    assert [json.loads(line)[column] for line in lines] == archived[column].to_pylist()


def test_moments_are_iso_8601_to_the_nanosecond(folder):
    row = rows_of_csv(folder, What.REQUESTS)[1]
    assert row["end"] == "2026-09-21T14:13:20.025000000Z"


def test_a_parquet_export_is_equal_to_the_archive(folder, tmp_path: Path):
    target = tmp_path / "out.parquet"
    export_file(folder, What.ROLLUPS, FormatName.PARQUET, target, lambda _: None)
    assert pq.read_table(target).equals(pq.read_table(folder.rollups))


def test_names_and_errors_that_are_formulas_are_disarmed_in_csv(folder):
    rows = rows_of_csv(folder, What.REQUESTS)
    assert {row["name"] for row in rows} == {"'" + FORMULA, "/predict"}
    assert {row["error"] for row in rows} == {"", "'@SUM(1)"}


def test_jsonl_holds_names_as_they_are(folder):
    names = {json.loads(line)["name"] for line in exported(folder, What.REQUESTS, FormatName.JSONL).splitlines()}
    assert names == {FORMULA, "/predict"}


def test_the_stats_are_those_of_run_json_with_a_total_at_the_end(folder):
    rows = rows_of_csv(folder, What.STATS)
    total = json.loads(folder.run_json.read_text())["summary"]["run"]["total"]
    assert [row["name"] for row in rows] == ["'" + FORMULA, "/predict", ""]
    assert (int(rows[-1]["requests"]), float(rows[-1]["p95_ms"])) == (total["requests"], total["p95_ms"])


def test_a_run_without_requests_gives_a_header_and_no_row(tmp_path: Path):
    empty = MadeRun(rate=0, usage=False).close(tmp_path)
    text = exported(empty, What.REQUESTS, FormatName.CSV).decode()
    assert text.splitlines() == ['"start","end","rt_us","ttfb_us","method","name","ok","status","error","bytes","worker","boot"']  # fmt: skip  # noqa: E501
    assert exported(empty, What.REQUESTS, FormatName.JSONL) == b""


def test_an_existing_file_is_not_overwritten_unless_forced(folder, tmp_path: Path, capsys):
    target = tmp_path / "mine.csv"
    target.write_text("mine")
    arguments = ["export", "latest", "--results", str(folder.path.parent), "--output", str(target)]
    assert main(arguments) == 2
    assert target.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert len(target.read_text().splitlines()) == 801


@pytest.mark.parametrize("force", [False, True])
def test_a_pipe_or_a_device_is_written_to_and_stays_what_it_is(folder, tmp_path: Path, *, force: bool):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    export_file(folder, What.STATS, FormatName.CSV, pipe, lambda _: None, force=force)
    reader.join()
    assert pipe.is_fifo()
    written = io.BytesIO()
    export(folder, What.STATS, FormatName.CSV, written, lambda _: None)
    assert read == [written.getvalue()]


@pytest.mark.attack("an export to what is no file", "refused with the reason, and left as it is")
@pytest.mark.parametrize(
    ("target", "reason", "code"),
    [
        (".", "is a folder", ExitCode.USAGE),
        ("/", "is a folder", ExitCode.USAGE),
        ("folder", "is a folder", ExitCode.USAGE),
        ("link-to-folder", "is a folder", ExitCode.USAGE),
        ("socket", "cannot be written", ExitCode.PLATFORM),
        ("file/below", "cannot be written", ExitCode.PLATFORM),
        ("nowhere/file", "cannot be written", ExitCode.PLATFORM),
        pytest.param("n" * 256, "cannot be written", ExitCode.PLATFORM, id="a name of 256 letters"),
        ("loop", "cannot be written", ExitCode.PLATFORM),
    ],
)
def test_what_is_no_file_is_refused_and_stays(
    folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, target: str, reason: str, code: int
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link-to-folder").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK)
    before = sorted(tmp_path.rglob("*"))
    assert main(["export", "latest", "--results", str(folder.path.parent), "--output", target, "--force"]) == code
    assert f"{target} {reason}" in capsys.readouterr().err
    assert (tmp_path / "socket").is_socket()
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_leads_to_the_file_that_is_written_and_stays_a_link(folder, tmp_path: Path, *, exists: bool):
    link, target = tmp_path / "link.csv", tmp_path / "elsewhere.csv"
    link.symlink_to(target)
    if exists:
        target.write_text("before")
    export_file(folder, What.STATS, FormatName.CSV, link, lambda _: None, force=exists)
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 4


def test_a_name_may_be_as_long_as_the_system_allows(folder, tmp_path: Path):
    target = tmp_path / ("n" * 255)
    export_file(folder, What.STATS, FormatName.CSV, target, lambda _: None)
    assert [*tmp_path.iterdir()] == [target]


def test_progress_ends_with_rows_per_second(folder, tmp_path: Path, capsys):
    target = tmp_path / "stats.csv"
    main(["export", "latest", "--what", "stats", "--results", str(folder.path.parent), "--output", str(target)])
    said = capsys.readouterr().err
    assert said.startswith("wrote 3 rows of stats to ")
    assert said.rstrip().endswith("rows/s")


def test_an_unknown_run_is_reported_with_those_that_exist(folder, capsys):
    assert main(["export", "nothing", "--results", str(folder.path.parent)]) == 2
    assert folder.run in capsys.readouterr().err


def test_a_failed_export_leaves_no_file(folder, tmp_path: Path, capsys):
    assert main(["export", "latest", "--results", str(folder.path.parent), "-o", str(tmp_path / "no" / "x.csv")]) == 4
    assert list(tmp_path.iterdir()) == []


def test_statistics_of_the_open_model_have_service_times_in_columns_of_their_own(tmp_path: Path):
    made = MadeRun(late_ms=2.5, sigma=0).close(tmp_path)
    *_, total = rows_of_csv(made, What.STATS)
    assert (total["name"], float(total["max_ms"])) == ("", pytest.approx(22.5, rel=1e-3))
    assert float(total["service_max_ms"]) == pytest.approx(20, rel=1e-3)
    assert list(total)[-8:] == [f"service_{key}" for key in list(total)[-16:-8]]
