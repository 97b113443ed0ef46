"""What a hint tells people to run works when it is pasted, wherever the results folder is."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.cli.main import main
from loadstone.errors import ExitCode
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261123-101500-beef"


def unclosed(folder: RunFolder) -> None:
    folder.run_json.unlink()


def without_a_table(folder: RunFolder) -> None:
    folder.requests.unlink()


def with_a_damaged_record(folder: RunFolder) -> None:
    folder.run_json.write_text("{")


def with_a_damaged_report(folder: RunFolder) -> None:
    folder.report.write_text("")


def with_a_damaged_journal(folder: RunFolder) -> None:
    segment = next(folder.journal.iterdir())
    harmed = bytearray(segment.read_bytes())
    harmed[100] ^= 1
    segment.write_bytes(harmed)


def unclosed_with_a_damaged_journal(folder: RunFolder) -> None:
    unclosed(folder)
    with_a_damaged_journal(folder)


Harm = Callable[[RunFolder], None]
HINTS: dict[str, tuple[Harm, tuple[str, ...], list[str]]] = {
    "show of an open run": (unclosed, ("show", RUN), ["recover"]),
    "show of a damaged run.json": (with_a_damaged_record, ("show", RUN), ["recover"]),
    "export without a table": (without_a_table, ("export", RUN, "-o", "-"), ["recover"]),
    "verify without a table": (without_a_table, ("verify", RUN), ["recover"]),
    "verify of a damaged report": (with_a_damaged_report, ("verify", RUN), ["report"]),
    "verify of a damaged journal": (with_a_damaged_journal, ("verify", RUN), ["recover"]),
    "recover from a damaged journal": (unclosed_with_a_damaged_journal, ("recover", RUN), ["recover"]),
    "runs with a damaged run.json": (with_a_damaged_record, ("runs",), ["recover"]),
    "salvage of a whole journal": (unclosed, ("recover", RUN, "--salvage"), ["recover"]),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    MadeRun(run=RUN).close(folder)
    assert main(["report", RUN, "--results", str(folder)]) == ExitCode.PASS
    return folder / RUN


@pytest.mark.parametrize("results", ["elsewhere", "with a space", "results"])
@pytest.mark.parametrize(("harm", "words", "verbs"), HINTS.values(), ids=HINTS.keys())
def test_the_command_in_a_hint_works_when_pasted(
    made: Path,
    tmp_path: Path,
    results: str,
    harm: Harm,
    words: tuple[str, ...],
    verbs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / results / RUN)
    harm(RunFolder(tmp_path / results / RUN))
    main([*words, "--results", results])
    said = capsys.readouterr()
    commands = [shlex.split(each) for each in re.findall(r"`(loadstone [^`\n]*)`", said.out + said.err)]
    assert [verb for _, verb, *_ in commands] == verbs
    for _, *pasted in commands:
        assert main(pasted) in {ExitCode.PASS, ExitCode.INCONCLUSIVE}
