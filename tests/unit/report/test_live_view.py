"""A run in progress in the terminal: all that matters on one line, or in a panel that redraws itself."""

from __future__ import annotations

import os
import pty
import re
from typing import Any

import msgspec
import pytest

from loadstone.domain.live import LiveSnapshot, Trouble
from loadstone.report.live_view import PlainView, RichView, open_view

SECOND = 1_000_000_000
BEGUN = 1_790_000_000 * SECOND
USAGE = {
    "service": "target",
    "container": "pid-7",
    "cpu_cores": 1.25,
    "cpu_limit": 2.0,
    "mem_bytes": 300 * 2**20,
    "mem_limit": 512 * 2**20,
}


def live(at_s: float = 65, **changes: Any) -> LiveSnapshot:
    fields = {
        "run": "20261123-101500-beef",
        "now_ns": BEGUN + round(at_s * SECOND),
        "started_ns": BEGUN,
        "ramp_done_ns": BEGUN + 10 * SECOND,
        "stopping_ns": None,
        "users": 40,
        "target_users": 50,
        "requests": 12_345,
        "failures": 67,
        "rps": 1234.56,
        "failure_share": 0.0125,
        "p50_ms": 1.5,
        "p95_ms": 20.25,
        "usage": [USAGE],
    }
    return msgspec.convert(fields | changes, LiveSnapshot)


def test_a_plain_line_holds_everything_that_matters(capsys: pytest.CaptureFixture[str]):
    with PlainView() as view:
        view.show(live(), 55)
    (line,) = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", line) == [
        "time 1:05",
        "users 40/50",
        "requests/s 1,234.6",
        "requests 12,345",
        "failures 67 (1.2% now)",
        "p50 1.5 ms",
        "p95 20.2 ms",
        "target 1.25/2 CPU, 300/512 MiB",
        "left 0:55",
    ]


OPEN = {
    "arrivals": [9000, 9000, 0],
    "planned_rps": 500.04,
    "sent_rps": 499.96,
    "lateness_p99_ms": 0.8,
}


def facts_in(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


def test_a_plain_line_of_the_open_model_shows_at_which_rate_iterations_begin_and_should(
    capsys: pytest.CaptureFixture[str],
):
    PlainView().show(live(**OPEN), 55)
    assert facts_in(capsys.readouterr().out)[1:4] == ["users 40/50", "arrivals/s 500.0/500.0", "requests/s 1,234.6"]


def test_arrivals_that_were_late_or_not_sent_are_told_as_soon_as_there_are_any(capsys: pytest.CaptureFixture[str]):
    arrivals = [9012, 9000, 12]
    PlainView().show(live(**OPEN | {"arrivals": arrivals, "sent_rps": 488.0, "lateness_p99_ms": 31.25}), 55)
    shown = ["arrivals/s 488.0/500.0", "not sent 12", "late p99 31.2 ms", "requests/s 1,234.6"]
    assert facts_in(capsys.readouterr().out)[2:6] == shown


def test_a_target_without_limits_is_shown_without_them(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(usage=[USAGE | {"cpu_limit": None, "mem_limit": None}]), None)
    line = capsys.readouterr().out
    assert "target 1.25 CPU, 300 MiB" in line
    assert "left" not in line, "a run without a planned end has no time left"


def test_plain_lines_come_at_most_every_five_seconds_and_notes_at_once(capsys: pytest.CaptureFixture[str]):
    view = PlainView()
    for tenth in range(600, 721):
        view.show(live(tenth / 10), None)
    assert len(capsys.readouterr().out.splitlines()) == 3
    view.note("a worker was lost")
    assert capsys.readouterr().out == "a worker was lost\n"


def test_before_the_run_has_begun_the_clock_stands_at_zero(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(started_ns=None, users=0, usage=[]), -0.3)
    line = capsys.readouterr().out
    assert line.startswith("time 0:00  users 0/50")
    assert line.endswith("left 0:00\n"), "never less than nothing"


def test_where_nobody_can_see_it_redraw_lines_are_plain(capsys: pytest.CaptureFixture[str]):
    assert isinstance(open_view(plain=False), PlainView), "the output of tests is no terminal"
    assert isinstance(open_view(plain=True), PlainView)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that draws as on a terminal of 160 columns."""
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "160"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("changes", "phase"),
    [
        ({"ramp_done_ns": None}, "ramping up"),
        ({}, "all users running"),
        ({"stopping_ns": BEGUN + 64 * SECOND}, "stopping"),
        ({"stopping_ns": BEGUN + 64 * SECOND, "closing": True}, "closing: writing the archive"),
    ],
)
@pytest.mark.usefixtures("terminal")
def test_the_panel_names_the_run_its_phase_and_its_figures(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], phase: str
):
    with RichView() as view:
        view.show(live(**changes), 55)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    for word in ("run 20261123-101500-beef", phase, "40/50", "1,234.6", "12,345", "20.2 ms", "1.25/2 CPU", "0:55"):
        assert word in shown


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_panel_that_does_not_fit_into_a_line_takes_more_of_them_and_keeps_each_figure_in_one_piece(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
):
    monkeypatch.setenv("COLUMNS", str(width))
    with RichView() as view:
        view.show(live(**OPEN | {"arrivals": [9012, 9000, 12], "lateness_p99_ms": 31.25}), 55)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert max(map(len, shown.splitlines())) <= width
    for words in ("500.0/500.0", "67 (1.2% now)", "31.2 ms", "1.25/2 CPU, 300/512 MiB", "requests/s", "not sent"):
        assert words in shown


@pytest.mark.usefixtures("terminal")
def test_the_newest_notes_are_below_the_panel_and_the_oldest_go(capsys: pytest.CaptureFixture[str]):
    with RichView() as view:
        view.note("note 0, before any figures")
        view.show(live(), None)
        for number in range(1, 8):
            view.note(f"note {number}")
        capsys.readouterr()
        view.show(live(), None)
    last = capsys.readouterr().out
    assert [f"note {number}" in last for number in range(8)] == [False] * 3 + [True] * 5


def trouble(text: str = "No space left. Free some", since_ns: int = 1) -> Trouble:
    return Trouble(part="archive", text=text, since_ns=since_ns)


def test_trouble_is_told_at_once_and_once_and_that_it_is_over(capsys: pytest.CaptureFixture[str]):
    with PlainView() as view:
        for troubles in ([], [trouble()], [trouble()], [trouble("another cause")], [], []):
            view.warn(troubles)
    assert capsys.readouterr().out.splitlines() == [
        "! archive: No space left. Free some",
        "! archive: another cause",
        "archive: in order again",
    ]


def test_counts_that_grow_are_no_news(capsys: pytest.CaptureFixture[str]):
    with PlainView() as view:
        for waiting in range(990, 1010):
            view.warn([trouble(f"HTTP 401. {waiting:,} requests wait")])
        view.warn([trouble("HTTP 403. 1,010 requests wait")])
    assert capsys.readouterr().out.splitlines() == [
        "! archive: HTTP 401. 990 requests wait",
        "! archive: HTTP 403. 1,010 requests wait",
    ]


def test_trouble_that_lasts_is_told_once_a_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    seconds = iter(range(0, 130, 10))
    monkeypatch.setattr("loadstone.report.live_view.time.monotonic", lambda: next(seconds))
    with PlainView() as view:
        for _ in range(13):
            view.warn([trouble()])
    assert capsys.readouterr().out.splitlines() == ["! archive: No space left. Free some"] * 3


def test_a_part_that_is_in_another_trouble_is_not_called_in_order(capsys: pytest.CaptureFixture[str]):
    with PlainView() as view:
        view.warn([trouble()])
        view.warn([trouble("another", since_ns=2)])
    assert "in order" not in capsys.readouterr().out


def test_the_panel_shows_trouble_before_there_are_figures_too(capsys: pytest.CaptureFixture[str]):
    view = RichView()
    view.warn([trouble()])
    view._live.console.print(view._live.get_renderable())
    view.show(live(), 55)
    view.warn([])
    view._live.console.print(view._live.get_renderable())
    before, after = capsys.readouterr().out.split("run 20261123-101500-beef")
    assert "! archive: No space left. Free some" in before
    assert "No space left" not in after


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("columns", ["0", "1", "20", "160"])
def test_no_text_commands_the_terminal_at_any_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
):
    monkeypatch.setenv("COLUMNS", columns)
    hostile = "\x1b]0;evil\x07\x9b31m[bold]"
    with RichView() as view:
        view.note(f"target {hostile}")
        view.show(live(run=hostile, phase=hostile, usage=[{**USAGE, "service": hostile}]), 55)
    shown = capsys.readouterr().out
    assert "\x1b]" not in shown
    assert not {"\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize(("term", "kind"), [("xterm", RichView), ("dumb", PlainView), ("unknown", PlainView)])
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, kind: type
):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours):
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setenv("TERM", term)
        monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
        assert isinstance(open_view(plain=False), kind)
