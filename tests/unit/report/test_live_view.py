"""A run in progress in the terminal: all that matters on one line, or in a region that redraws itself."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
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


MISSED = {"text": "failures<=0.1%", "value": 1.25, "unit": "%", "ok": False, "reason": "failures are 1.25 %"}
HELD = {"text": "p95<500ms", "value": 20.25, "unit": "ms", "ok": True, "reason": "p95 is 20.25 ms"}


def test_a_plain_line_holds_everything_that_matters(capsys: pytest.CaptureFixture[str]):
    with PlainView() as view:
        view.show(live(objectives=[HELD, MISSED]), 55)
    (line,) = capsys.readouterr().out.splitlines()
    assert facts_in(line) == [
        "time 1:05",
        "phase window",
        "left 0:55",
        "users 40/50",
        "requests 12,345",
        "failures 67",
        "last 10 s: 1,234.6 requests/s, 1.2% failed, p50 1.5 ms, p95 20.2 ms",
        "would miss failures<=0.1%: 1.25 %",
        "target 1.25/2 CPU, 300/512 MiB",
    ]


OPEN = {
    "open_model": True,
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
    assert facts_in(capsys.readouterr().out)[5:7] == ["failures 67", "arrivals/s 500.0/500.0"]


def test_a_rate_of_several_stages_says_which_of_them_is_due(capsys: pytest.CaptureFixture[str]):
    stage = {"number": 2, "of": 3, "text": "100/s..1000/s over 5m"}
    PlainView().show(live(**OPEN, stage=stage), 55)
    assert "stage 2 of 3: 100/s..1000/s over 5m" in facts_in(capsys.readouterr().out)


@pytest.mark.parametrize("of", [1, 300])
def test_one_stage_and_the_many_that_a_function_was_sampled_into_are_not_told(
    capsys: pytest.CaptureFixture[str], of: int
):
    PlainView().show(live(**OPEN, stage={"number": 1, "of": of, "text": "100/s"}), 55)
    assert "stage" not in capsys.readouterr().out


def test_arrivals_that_were_late_or_not_sent_are_told_as_soon_as_there_are_any(capsys: pytest.CaptureFixture[str]):
    arrivals = [9012, 9000, 12]
    PlainView().show(live(**OPEN | {"arrivals": arrivals, "sent_rps": 488.0, "lateness_p99_ms": 31.25}), 55)
    shown = ["failures 67", "arrivals/s 488.0/500.0", "not sent 12", "late p99 31.2 ms"]
    assert facts_in(capsys.readouterr().out)[5:9] == shown


def test_a_target_without_limits_is_shown_without_them(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(usage=[USAGE | {"cpu_limit": None, "mem_limit": None}]), None)
    line = capsys.readouterr().out
    assert "target 1.25 CPU, 300 MiB" in line
    assert "left" not in line, "a run without a planned end has no time left"


def test_two_containers_of_a_service_are_told_apart(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(usage=[USAGE, USAGE | {"container": "pid-8"}]), None)
    line = capsys.readouterr().out
    assert "target pid-7 1.25/2 CPU" in line
    assert "target pid-8 1.25/2 CPU" in line


def test_latencies_of_ten_seconds_without_an_answer_are_no_number(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(rps=0.0, failure_share=0.0, p50_ms=0.0, p95_ms=0.0), None)
    assert "last 10 s: 0.0 requests/s, - failed, p50 -, p95 -" in capsys.readouterr().out


def test_plain_lines_come_at_most_every_five_seconds_and_notes_at_once(capsys: pytest.CaptureFixture[str]):
    view = PlainView()
    for tenth in range(600, 721):
        view.show(live(tenth / 10), None)
    assert len(capsys.readouterr().out.splitlines()) == 3
    view.note("a worker was lost")
    assert capsys.readouterr().out == "a worker was lost\n"


def test_before_the_run_has_begun_the_clock_stands_at_zero(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(started_ns=None, ramp_done_ns=None, users=0, usage=[]), -0.3)
    line = capsys.readouterr().out
    assert facts_in(line)[:4] == ["time 0:00", "phase ramp", "left 0:00", "users 0/50"], "never less than nothing"


def test_the_clock_stands_still_when_users_begin_to_stop(capsys: pytest.CaptureFixture[str]):
    PlainView().show(live(at_s=70, stopping_ns=BEGUN + 60 * SECOND), -10)
    assert facts_in(capsys.readouterr().out)[:3] == ["time 1:00", "phase stop", "left 0:00"]


def test_where_nobody_can_see_it_redraw_lines_are_plain(capsys: pytest.CaptureFixture[str]):
    assert isinstance(open_view(plain=False), PlainView), "the output of tests is no terminal"
    assert isinstance(open_view(plain=True), PlainView)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that draws as on a terminal of 160 columns."""
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "160"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("terminal")
def test_the_region_names_the_run_its_phase_and_its_figures(capsys: pytest.CaptureFixture[str]):
    with RichView() as view:
        view.show(live(), 55)
        view._live.refresh()  # which it does by itself twice a second
    shown = without_codes(capsys.readouterr().out)
    for word in ("run 20261123-101500-beef", "[window]", "40/50", "1,234.6", "12,345", "20.2 ms", "1.25/2 CPU", "0:55"):
        assert word in shown


@pytest.mark.usefixtures("terminal")
def test_notes_stand_above_the_region_and_stay_in_one_piece_when_it_goes(capsys: pytest.CaptureFixture[str]):
    long = f"more workers: loadstone worker {'--option value ' * 20}"
    with RichView() as view:
        view.note("live page: http://127.0.0.1:1/")
        view.show(live(), None)
        view.note(long)
    screen = on_screen(capsys.readouterr().out)
    assert screen == ["live page: http://127.0.0.1:1/", long.rstrip()]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("rows", [3, 8, 12])
def test_nothing_of_a_region_that_is_higher_than_the_terminal_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: int
):
    monkeypatch.setenv("LINES", str(rows))
    with RichView() as view:
        view.note("live page: http://127.0.0.1:1/")
        view.show(live(objectives=[HELD, MISSED] * 20), 55)
        view._live.refresh()
        view.note("a worker was lost")
    assert on_screen(capsys.readouterr().out, rows) == ["live page: http://127.0.0.1:1/", "a worker was lost"]


def without_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def on_screen(output: str, rows: int = 1000) -> list[str]:
    """What is left on a very wide terminal: a line that is erased is gone; those above its ``rows`` stay."""
    lines, at = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if piece == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif piece == "\x1b[1A":
            at = max(at - 1, len(lines) - rows)
        elif piece == "\x1b[2K":
            lines[at] = ""
        elif not piece.startswith("\x1b") and piece != "\r":
            lines[at] += piece
    return [line.rstrip() for line in lines if line.strip()]


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


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("columns", ["0", "1", "20", "160"])
def test_no_text_commands_the_terminal_at_any_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
):
    monkeypatch.setenv("COLUMNS", columns)
    hostile = "\x1b]0;evil\x07\x9b31m[bold]"
    with RichView() as view:
        view.note(f"target {hostile}")
        objectives = [{**HELD, "text": hostile}, {**HELD, "ok": None, "reason": hostile}]
        changes = {"run": hostile, "host": hostile, "objectives": objectives, "usage": [{**USAGE, "service": hostile}]}
        view.show(live(**changes), 55)
    shown = capsys.readouterr().out
    assert "\x1b]" not in shown
    assert not {"\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"TERM": "xterm"}, RichView),
        ({"TERM": "dumb"}, PlainView),
        ({"TERM": "unknown"}, PlainView),
        ({"TERM": "xterm", "TTY_COMPATIBLE": "0"}, PlainView),
        ({"TERM": "xterm", "TTY_INTERACTIVE": "0"}, PlainView),
    ],
    ids=str,
)
def test_a_terminal_in_which_nothing_is_redrawn_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type
):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours):
        monkeypatch.setattr("sys.stdout", terminal)
        for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert isinstance(open_view(plain=False), kind)


def test_a_terminal_without_a_cursor_gets_lines_that_it_does_not_wrap(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours) as shown:
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr("sys.__stdout__", terminal)
        with open_view(plain=False) as view:
            view.show(live(objectives=[HELD, MISSED]), 55)
        lines = [shown.readline().rstrip("\n") for _ in range(3)]
    assert all(len(line) <= 80 for line in lines)
    assert [line.startswith("  ") for line in lines] == [False, True, True]
    assert "last 10 s: 1,234.6 requests/s, 1.2% failed, p50 1.5 ms, p95 20.2 ms" in lines[1]
