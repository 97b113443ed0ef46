"""Bit rot: a flipped, cut, emptied, exchanged or deleted file is noticed by `verify` and by each verb that reads it."""

from __future__ import annotations

import random
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.reader import segment_paths
from loadstone.archive.verify import verify_run
from loadstone.charts.page import write_report
from loadstone.cli.main import main
from loadstone.errors import UnreadableRunError
from support.closed_runs import MadeRun
from support.run_files import flip, without_digests

if TYPE_CHECKING:
    from collections.abc import Callable

RUN, BASE = "20260920-120000-aaaa", "20260920-110000-bbbb"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "runs_0_1"
TABLES: Final = ("requests.parquet", "rollups.parquet", "usage.parquet")
CSV: Final = ("stats.csv", "stats_history.csv", "failures.csv", "exceptions.csv")
FILES: Final = ("run.json", *TABLES, "events.jsonl", *CSV, "report.html", "journal/00000001.lsj")
"""Every file of a closed run."""
SEALED: Final = {"run.json", "report.html"}
"""Those that hold their own digest."""
USED_BY: Final = {
    "show": ("run.json",),
    "export requests": ("run.json", "requests.parquet"),
    "export rollups": ("run.json", "rollups.parquet"),
    "export usage": ("run.json", "usage.parquet"),
    "export stats": ("run.json",),
    "compare": ("run.json", "rollups.parquet"),
    "report": ("run.json", "requests.parquet", "rollups.parquet", "usage.parquet", "events.jsonl", "failures.csv"),
}
"""The files that each verb reads."""
FLIPS_IN_EACH: Final = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    for name, seconds in ((BASE, 9), (RUN, 8)):
        made = MadeRun(run=name, seconds=seconds, failure_share=0.2, objectives=["p95<500ms"])
        write_report(made.close(results))
    return results


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(made, tmp_path / "results") / RUN)


def positions(path: Path) -> list[int]:
    """The first and the last byte of a file, and seeded ones between them."""
    size = path.stat().st_size
    rng = random.Random(path.name)
    return [0, size - 1, *(rng.randrange(size) for _ in range(FLIPS_IN_EACH - 2))]


def words(verb: str, run: RunFolder) -> list[str]:
    """The command line of a verb."""
    results = str(run.path.parent)
    if verb == "compare":
        return ["compare", BASE, RUN, "--results", results]
    if verb.startswith("export"):
        what = verb.split()[1]
        return [
            "export",
            RUN,
            "--what",
            what,
            "--results",
            results,
            "--output",
            str(run.path.parent / "out"),
            "--force",
        ]
    return [verb, RUN, "--results", results]


def test_every_file_of_a_closed_run_is_verified(run: RunFolder):
    check = verify_run(run)
    assert {each.name for each in check.files} == set(FILES)
    assert {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()} == set(FILES)
    assert (check.damaged, check.notes, check.has_digests) == ([], (), True)
    assert [each.bytes for each in check.files] == [(run.path / each.name).stat().st_size for each in check.files]


@pytest.mark.attack("a bit of a file of a closed run flips", "verify names the file")
@pytest.mark.parametrize("name", FILES)
def test_a_flip_anywhere_is_noticed_by_verify(run: RunFolder, name: str):
    path = run.path / name
    whole = path.read_bytes()
    for at in positions(path):
        for bits in (0x01, 0x80):
            flip(path, at, bits)
            assert [each.name for each in verify_run(run).damaged] == [name], f"byte {at} ^ {bits}"
            path.write_bytes(whole)


@pytest.mark.attack("a bit of a file of a closed run flips", "each verb that reads the file refuses, exit 2")
@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, names in USED_BY.items() for name in names])
def test_a_flip_is_noticed_by_each_verb_that_reads_the_file(
    run: RunFolder, verb: str, name: str, capsys: pytest.CaptureFixture[str]
):
    path = run.path / name
    whole = path.read_bytes()
    for at in positions(path)[:4]:
        flip(path, at)
        assert main(words(verb, run)) == 2, f"byte {at}"
        said = capsys.readouterr().err
        assert str(path) in said
        assert f"loadstone recover {RUN}" in said
        path.write_bytes(whole)
    assert main(words(verb, run)) == 0


@pytest.mark.parametrize("verb", USED_BY)
def test_a_verb_reads_no_file_that_it_does_not_use(run: RunFolder, verb: str):
    for name in set(FILES) - set(USED_BY[verb]):
        (run.path / name).write_bytes(b"")
    assert main(words(verb, run)) == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def exchange(path: Path) -> None:
    name = path.relative_to(path.parents[1] if path.parent.name != "journal" else path.parents[2]).parts[1:]
    results = path.parents[1] if path.parent.name != "journal" else path.parents[2]
    shutil.copyfile(results.joinpath(BASE, *name), path)


def delete(path: Path) -> None:
    path.unlink()


def make_it_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM: Final = [cut, cut_in_half, empty, extend, exchange, delete, make_it_a_folder]


@pytest.mark.attack("a file of a closed run is cut, emptied, exchanged or deleted", "verify names the file")
@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__.replace("_", " "))
@pytest.mark.parametrize("name", FILES)
def test_other_harm_is_noticed_by_verify_and_by_each_verb(run: RunFolder, name: str, harm: Callable[[Path], None]):
    before = (run.path / name).read_bytes()
    harm(run.path / name)
    check = verify_run(run)
    if name == "exceptions.csv" and harm is exchange:
        assert before == (run.path / name).read_bytes(), "neither run raised an exception"
        return
    if (name, harm) == ("journal/00000001.lsj", extend):
        assert (check.damaged, len(check.notes)) == ([], 1), "a journal may grow"
        return
    assert name in [each.name for each in check.damaged]
    for verb, names in USED_BY.items():
        if name in names and not (name == "run.json" and harm is make_it_a_folder):
            assert main(words(verb, run)) == 2, verb


def test_the_report_and_an_exchanged_one_are_told_apart_although_both_are_whole(run: RunFolder):
    exchange(run.report)
    (file,) = verify_run(run).damaged
    assert (file.name, "the report of another run" in file.problem) == ("report.html", True)
    assert verify_run(run).cures == [f"Write the report again with `{run.command('report')}`"]
    assert main(["report", RUN, "--results", str(run.path.parent)]) == 0
    assert not verify_run(run).damaged


def test_a_copy_under_another_name_is_whole_and_an_exchanged_run_json_is_not(run: RunFolder):
    copy = RunFolder(run.path.rename(run.path.with_name("baseline")))
    assert main(["show", str(copy.path)]) == 0
    check = verify_run(copy)
    assert check.damaged == []
    assert check.notes == (f"this is run {RUN} under another name",)


def test_a_run_passed_on_without_its_journal_is_whole_and_says_that_it_cannot_be_built_again(run: RunFolder):
    shutil.rmtree(run.journal)
    check = verify_run(run)
    assert (check.damaged, check.notes) == ([], ("no journal: damaged files cannot be built again",))
    flip(run.usage, 500)
    assert verify_run(run).cures == [
        "Take it from a copy of the run: its folder holds no journal to build it from again"
    ]


def test_a_missing_segment_of_several_is_named(run: RunFolder):
    run.journal.joinpath("00000003.lsj").write_bytes(b"LSJ1")
    assert "journal/00000002.lsj" in [each.name for each in verify_run(run).damaged]


def test_a_run_that_is_closed_again_while_it_is_read_is_not_called_damaged(run: RunFolder):
    opened = ClosedRun.open(run)
    shutil.copytree(run.path.with_name(BASE), run.path, dirs_exist_ok=True)
    with pytest.raises(UnreadableRunError, match="was closed again while it was read") as error:
        opened.rollups()
    assert error.value.hint == "Try again"


def test_tables_carry_a_checksum_for_each_page(run: RunFolder):
    without_digests(run)
    path = run.requests
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    flip(path, column.data_page_offset + column.total_compressed_size - 5)
    (file,) = verify_run(run).damaged
    assert file.name == "requests.parquet"
    assert "CRC" in file.problem


def test_the_command_prints_a_table_and_its_exit_code_says_whether_all_is_well(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
):
    command = ["verify", RUN, "--results", str(run.path.parent)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in FILES)
    assert f"run {RUN}: all 11 files are whole" in said
    flip(run.stats_csv, 10)
    assert main(command) == 1
    said = capsys.readouterr().out
    assert f"run {RUN}: 1 of 11 files damaged" in said
    assert f"Build it again from the run's journal with `{run.command('recover')}`" in said
    assert main(["verify", "--all", "--results", str(run.path.parent)]) == 1
    said = capsys.readouterr().out
    assert f"run {BASE}" not in said, "runs that are whole have their line in the table, and no more"
    assert BASE in said
    assert main(["recover", RUN, "--results", str(run.path.parent)]) == 0
    assert main(["verify", "--all", "--results", str(run.path.parent)]) == 0


@pytest.mark.parametrize("given", [[], [RUN, "--all"]], ids=["neither", "both"])
def test_the_command_takes_a_run_or_all(run: RunFolder, given: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["verify", *given, "--results", str(run.path.parent)]) == 2
    assert "verify takes a run or --all" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["20260921-141320-normal", "20260921-151320-killed"])
def test_a_run_of_0_1_is_verified_as_far_as_it_can_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = shutil.copytree(FIXTURES, tmp_path / "results")
    assert main(["verify", name, "--results", str(results)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "no digests: written by version 0.1.0; its files could be read and counted, no more" in said
    assert "files are readable" in said
    cut_in_half(results / name / "requests.parquet")
    (results / name / "failures.csv").write_text("Method,Name,Error,Occurrences,First Seen,Last Seen\n")
    (results / name / "events.jsonl").write_text("{\n")
    damaged = [each.name for each in verify_run(RunFolder(results / name)).damaged]
    assert damaged[0] == "requests.parquet"
    assert "events.jsonl" in damaged


def test_a_shortened_journal_beside_a_run_of_0_1_is_noticed(tmp_path: Path):
    run = RunFolder(shutil.copytree(FIXTURES, tmp_path / "results") / "20260921-151320-killed")
    for path in segment_paths(run.journal):
        path.write_bytes(b"LSJ1")
    (file,) = verify_run(run).damaged
    assert (file.name, file.problem.startswith("yields 0 of ")) == ("journal/", True)


def test_a_run_that_is_not_closed_is_well_if_its_journal_is(run: RunFolder):
    for path in run.path.iterdir():
        if path.is_file():
            path.unlink()
    check = verify_run(run)
    assert (check.damaged, len(check.files)) == ([], 1)
    assert check.notes == ("not closed: there is nothing but its journal to check",)
    flip(run.journal / "00000001.lsj", 100)
    assert [each.name for each in verify_run(run).damaged] == ["journal/00000001.lsj"]


def test_the_run_json_tells_the_digest_that_sha256sum_prints(run: RunFolder):
    record = ClosedRun.open(run).record
    text = run.run_json.read_bytes()
    assert record.digest == "sha256:" + sha256(text[: text.rindex(b'"digest"')]).hexdigest()
    assert {name: each.sha256 for name, each in record.files.items()} == {
        name: sha256((run.path / name).read_bytes()).hexdigest() for name in FILES if name not in SEALED
    }
