"""What a person sees of a run in a terminal of 80 columns and 24 rows, and what a file gets of it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.archive.closed_run import list_runs
from support.counting_server import CountingServer
from support.environ import without_settings
from support.loadstone_run import CALM, SCENARIOS, LoadstoneRun
from support.terminal import InTerminal, without_colours

if TYPE_CHECKING:
    from pathlib import Path

PHASES = ("ramp", "warm-up", "window", "stop", "archive")
LOAD = ("-u", "8", "-r", "2", "-t", "12s", "--warmup", "2s", "--workers", "1", "--exit-code-on-error", "0")
JUDGED = ("--objective", "p99<60s", "failures>=90%")


@dataclass(frozen=True)
class Shown:
    """All screens of a run, the last one of them, and its run.json."""

    frames: list[list[str]]
    code: int | None
    has_cursor: bool
    record: dict[str, Any]

    @property
    def left(self) -> list[str]:
        return self.frames[-1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("terminal")
    with CountingServer(folder / "server") as server:
        words = ("run", "-f", str(SCENARIOS / "mixed.py"), "--host", server.url, *LOAD, *JUDGED)
        environ = without_settings() | {"TERM": "xterm-256color", "XDG_STATE_HOME": str(folder / "state")}
        started = InTerminal(
            [sys.executable, "-m", "loadstone", *words, "--results", str(folder / "results")],
            environ,
            columns=80,
            rows=24,
        )
        frames = [list(map(without_colours, frame)) for frame in started.frames(timeout_s=120)]
    (run,) = list_runs(folder / "results")
    record = json.loads((run.path / "run.json").read_text())
    return Shown(frames, started.code, started.screen.has_cursor, record)


def found(pattern: str, frames: list[list[str]]) -> list[str]:
    """What the group of the pattern holds, in each frame that has it."""
    texts = ("\n".join(frame) for frame in frames)
    return [match[1] for text in texts if (match := re.search(pattern, text, re.MULTILINE))]


def test_the_region_goes_through_all_phases_in_their_order(shown: Shown):
    seen = found(r"^.*\[([a-z-]+)\].*archive", shown.frames)
    assert seen == sorted(seen, key=PHASES.index)
    assert {"ramp", "warm-up", "window"} <= set(seen), "stop and archive may be over within a moment"


def test_no_line_is_wider_than_the_terminal_at_any_moment(shown: Shown):
    as_wide_as_they_are = ("All files of this run: ", "target http")
    for frame in shown.frames:
        assert max(len(line) for line in frame if not line.startswith(as_wide_as_they_are)) <= 80


def test_the_bar_fills_and_the_clock_reaches_the_planned_end(shown: Shown):
    filled = [bar.count("█") for bar in found(r"^([█░]+)  [0-9]:[0-9]{2} of 0:1[0-9]$", shown.frames)]
    assert filled == sorted(filled)
    assert len(set(filled)) > 5
    assert found(r"  (0:[0-9]{2}) of 0:1[0-9]$", shown.frames)[-1] >= "0:12"


def test_what_is_counted_is_what_the_archive_holds_in_the_end(shown: Shown):
    counted = [int(text.replace(",", "")) for text in found(r"requests ([0-9,]+)   failures", shown.frames)]
    assert counted == sorted(counted)
    assert counted[-1] == shown.record["requests"]


def test_the_region_has_a_sparkline_and_what_objectives_measure_without_a_verdict(shown: Shown):
    assert any(len(line) >= 5 for line in found(r"^requests/s +[0-9.,]+ +([▁▂▃▄▅▆▇█]+) ", shown.frames))
    assert any(len(line) >= 5 for line in found(r"^p95 +[0-9.,]+ ms +([▁▂▃▄▅▆▇█]+) ", shown.frames))
    assert found(r"^p99<60s +[0-9.]+ ms  (would hold)", shown.frames)
    assert found(r"^failures>=90% +0 %  (would miss)", shown.frames)
    while_it_ran = [frame for frame in shown.frames if found(r"(> \[?archive)", [frame])]
    assert not found(r"(verdict)", while_it_ran)


def test_in_the_end_notes_and_tables_are_left_and_the_region_is_gone(shown: Shown):
    assert shown.code == 1
    assert shown.has_cursor
    left = "\n".join(shown.left)
    assert re.search(r"^live page: http://", left, re.MULTILINE)
    assert "verdict: fail" in left
    assert f"run {shown.record['id']}: 8 users on " in left
    assert "> archive" not in left
    assert "would" not in left


CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("variables", [{"TERM": "xterm-256color"}, {"NO_COLOR": "1"}], ids=str)
def test_a_file_gets_plain_lines_without_a_control_character(tmp_path: Path, variables: dict[str, str]):
    with CountingServer(tmp_path / "server") as server:
        load = ("-u", "4", "-r", "50", "-t", "6s", "--workers", "1", "--host", server.url, *CALM)
        run = LoadstoneRun(tmp_path, ("-f", str(SCENARIOS / "mixed.py"), *load), variables=variables)
        assert run.run() == 0, run.output
    assert not CONTROLS.search(run.output)
    figures = [line for line in run.output.splitlines() if line.startswith("time ")]
    assert len(figures) >= 2
    assert re.fullmatch(
        r"time 0:0[0-9]  phase [a-z]+  left 0:0[0-9]  users [0-9]/4  requests [0-9,]+  failures 0"
        r"  last 10 s: [0-9.,]+ requests/s, 0\.0% failed, p50 [0-9.]+ ms, p95 [0-9.]+ ms",
        figures[-1],
    )


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_of_its_width(tmp_path: Path):
    with CountingServer(tmp_path / "server") as server:
        words = (
            "run",
            "-f",
            str(SCENARIOS / "mixed.py"),
            "--host",
            server.url,
            *CALM,
            "-u",
            "4",
            "-r",
            "50",
            "-t",
            "6s",
        )
        environ = without_settings() | {"TERM": "dumb", "XDG_STATE_HOME": str(tmp_path / "state")}
        program = [sys.executable, "-m", "loadstone", *words, "--workers", "1", "--results", str(tmp_path / "results")]
        started = InTerminal(program, environ, columns=80, rows=24)
        *_, lines = started.frames(timeout_s=120)
    assert started.code == 0
    assert not any(CONTROLS.search(line) for line in lines), "no colours either"
    figures = [at for at, line in enumerate(lines) if line.startswith("time ")]
    assert all(len(line) <= 80 for at in figures for line in lines[at : at + 2])
    assert all(lines[at + 1].startswith("  last 10 s: ") for at in figures)
