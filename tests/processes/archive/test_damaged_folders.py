"""Verbs that read run folders: what is no run, or is damaged, is an error with file and cure, and never blocks."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.cli.main import main, verbs
from loadstone.errors import ExitCode
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GOOD: Final = "20260901-000000-good"
BAD: Final = "20260902-000000-bad0"


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


NO_FILE: Final[dict[str, Callable[[Path], object]]] = {
    "missing": Path.unlink,
    "a folder": replace_by(Path.mkdir),
    "a pipe": replace_by(os.mkfifo),
    "a link to itself": replace_by(lambda path: path.symlink_to(path.name)),
    "a link to nothing": replace_by(lambda path: path.symlink_to("nothing")),
    "a link to an endless device": replace_by(lambda path: path.symlink_to("/dev/zero")),
}
NOT_JSON: Final[dict[str, Callable[[Path], object]]] = {
    "truncated": halve,
    "[]": write(b"[]"),
    "{}": write(b"{}"),
    "null": write(b"null"),
    "nested 100,000 deep": write(b"[" * 100_000),
    "random bytes": write(bytes(range(256)) * 20),
    "60 MB of JSON": write(b'{"a":"' + b"x" * 60_000_000 + b'"}'),
}
DAMAGE: Final = {
    "run.json": NO_FILE
    | NOT_JSON
    | {
        "empty": write(b""),
        "format 99": lambda path: path.write_text(path.read_text().replace('"format": 1,', '"format": 99,')),
        "a format that is a text": lambda path: path.write_text(
            path.read_text().replace('"format": 1,', '"format": "1",')
        ),
        "the 31st of February": lambda path: path.write_text(path.read_text().replace("2026-09-", "2026-02-3")),
        "a window of 10^30 ns": lambda path: path.write_text(
            path.read_text().replace('"end_ns": 1', '"end_ns": 1' + "0" * 30)
        ),
    },
    "rollups.parquet": NO_FILE | NOT_JSON | {"empty": write(b"")},
    "requests.parquet": NO_FILE | NOT_JSON | {"empty": write(b"")},
    "usage.parquet": NO_FILE | NOT_JSON | {"empty": write(b"")},
    "events.jsonl": NO_FILE | NOT_JSON,
    "failures.csv": NO_FILE | {"random bytes": NOT_JSON["random bytes"]},
}
"""By file: what is done to it."""
READERS: Final[dict[str, Sequence[Sequence[str]]]] = {
    "run.json": (
        ("show", BAD),
        ("compare", GOOD, BAD),
        ("compare", BAD, GOOD),
        ("report", BAD),
        ("report", GOOD, "--baseline", BAD),
        ("export", BAD, "--what", "stats", "-o", "OUT"),
        ("grafana", "annotate", BAD, "--url", "http://127.0.0.1:9", "--token-file", "TOKEN"),
    ),
    "rollups.parquet": (("compare", GOOD, BAD), ("report", BAD), ("export", BAD, "--what", "rollups", "-o", "OUT")),
    "requests.parquet": (("export", BAD, "-o", "OUT"),),
    "usage.parquet": (("report", BAD), ("export", BAD, "--what", "usage", "-o", "OUT")),
    "events.jsonl": (("report", BAD),),
    "failures.csv": (("report", BAD),),
}
"""By file: the verbs that need it."""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two closed runs."""
    made = tmp_path_factory.mktemp("made")
    for run in (GOOD, BAD):
        MadeRun(run=run, seconds=4, failure_share=0.2).close(made)
    return made


@pytest.fixture
def results(closed: Path, tmp_path: Path) -> Path:
    """Two closed runs; tests damage the second one."""
    return shutil.copytree(closed, tmp_path / "results")


def called(words: Sequence[str], results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a verb; its exit code and what it printed, without line breaks."""
    token = results.parent / "token"
    token.write_text("word")
    places = {"OUT": str(results.parent / "out"), "TOKEN": str(token)}
    code = main([*(places.get(word, word) for word in words), "--results", str(results)])
    out, error = capsys.readouterr()
    return code, "".join(out.split("\n")), error.strip()


@pytest.mark.attack(
    "a file of a run folder that is missing, damaged, or no file",
    "each verb that needs it exits with 2 and names file and cure; `runs` lists the others, and this one with why",
)
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param(file, damage, id=f"{file}: {kind}")
        for file, kinds in DAMAGE.items()
        for kind, damage in kinds.items()
    ],
)
def test_a_damaged_file_is_an_error_with_its_name_and_the_cure(
    results: Path, file: str, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
):
    damage(results / BAD / file)
    for words in READERS[file]:
        code, _, error = called(words, results, capsys)
        assert (code, error.count("\n")) == (ExitCode.USAGE, 0), (words, error)
        assert str(results / BAD / file) in error
        assert "loadstone recover" in error or "Read this run with" in error
    code, out, _ = called(["runs"], results, capsys)
    assert code == ExitCode.PASS
    assert GOOD in out
    assert BAD in out
    is_there = os.path.lexists(results / BAD / file)
    assert ("is damaged: " in out) == (file == "run.json" and is_there)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights, where the tests run as one that may do everything. It may not read Python either."""
    verbs()
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_results(closed: Path) -> Iterator[Path]:
    """Two closed runs where every user may look."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        shutil.copytree(closed, Path(place) / "results").chmod(0o755)
        yield Path(place) / "results"
        for path in Path(place).rglob("*"):
            path.chmod(0o755)


@pytest.mark.attack(
    "a run folder, or a file in it, that may not be read", "exit code 2 with file and cause; `runs` goes on"
)
@pytest.mark.parametrize("part", ["run.json", ""], ids=["run.json", "the folder"])
def test_what_may_not_be_read_is_said_so(open_results: Path, part: str, capsys: pytest.CaptureFixture[str]):
    (open_results / BAD / part).chmod(0)
    with nobody():
        shown = main(["show", BAD, "--results", str(open_results)]), capsys.readouterr().err
        listed = main(["runs", "--results", str(open_results)]), capsys.readouterr().out
    assert shown[0] == ExitCode.USAGE
    assert f"{open_results / BAD / 'run.json'} cannot be read: Permission denied" in shown[1]
    assert listed[0] == ExitCode.PASS
    assert GOOD in listed[1]
    assert BAD in listed[1]


@pytest.mark.attack("a results folder that is no folder", "it is said that there is no run, or why it cannot be read")
@pytest.mark.parametrize("kind", ["a pipe", "a link to itself", "a file"])
def test_a_results_folder_that_is_none_has_no_run(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]):
    place = tmp_path / "results"
    place.touch()
    NO_FILE.get(kind, Path.touch)(place)
    assert main(["runs", "--results", str(place)]) == ExitCode.PASS
    assert "There is no run in" in capsys.readouterr().out
    assert main(["show", "latest", "--results", str(place)]) == ExitCode.USAGE


@pytest.mark.attack(
    "a journal that is no journal", "`recover` exits with 2 and names the file; what there is stays as it is"
)
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link to an endless device"])
def test_a_journal_that_is_no_file_is_not_recovered(results: Path, kind: str, capsys: pytest.CaptureFixture[str]):
    segment = RunFolder(results / BAD).journal / "00000001.lsj"
    NO_FILE[kind](segment)
    before = {path.name: path.read_bytes() for path in (results / BAD).iterdir() if path.is_file()}
    code, _, error = called(["recover", BAD], results, capsys)
    assert code == ExitCode.USAGE
    assert str(segment) in error
    assert {name: (results / BAD / name).read_bytes() for name in before} == before


@pytest.mark.attack("a board that is no board", "`grafana push` exits with 2 and names the file; nothing is pushed")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", [kind for kind in (*NO_FILE, *NOT_JSON) if kind != "missing"])
def test_a_board_that_is_none_is_not_pushed(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]):
    board, token = tmp_path / "board.json", tmp_path / "token"
    board.write_text('{"uid": "a", "title": "A"')
    token.write_text("word")
    (NO_FILE | NOT_JSON)[damage](board)
    options = ["--url", "http://127.0.0.1:9", "--token-file", str(token), "--dashboards", str(tmp_path)]
    assert main(["grafana", "push", *options]) == ExitCode.USAGE
    assert str(board) in capsys.readouterr().err
