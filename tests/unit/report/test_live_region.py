"""The live region: phases, bar, sparklines and objectives, in the width and height of the terminal."""

from __future__ import annotations

import io
import itertools
import re
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from loadstone.domain.live import LiveSecond, LiveSnapshot, Trouble
from loadstone.report.console import SafeConsole
from loadstone.report.live_region import LiveRegion, NewestMinute, progress_bar, sparkline
from loadstone.report.tables import shortened

SECOND = 1_000_000_000
AT = 1_790_000_000
BEGUN = AT * SECOND
OBJECTIVES = [
    {"text": "p95<500ms", "value": 499.9996, "unit": "ms", "ok": True, "reason": "p95 is less"},
    {"text": "failures<=0.1%", "value": 12.5, "unit": "%", "ok": False, "reason": "failures are more"},
    {"text": "cpu(target)<90%", "value": None, "unit": "%", "ok": None, "reason": "judged at the end of the run"},
]


def live(at_s: float = 65, **changes: Any) -> LiveSnapshot:
    """A snapshot ``at_s`` after the start of a run whose ramp took ten seconds, and whose warm-up takes twenty."""
    fields = {
        "run": "20261123-101500-beef",
        "now_ns": BEGUN + round(at_s * SECOND),
        "started_ns": BEGUN,
        "ramp_done_ns": BEGUN + 10 * SECOND if at_s >= 10 else None,
        "warmup_s": 20.0,
        "users": 40,
        "target_users": 50,
        "requests": 12_345,
        "failures": 67,
        "rps": 1234.56,
        "failure_share": 0.0125,
        "p50_ms": 1.5,
        "p95_ms": 20.25,
        "p99_ms": 31.5,
    }
    return msgspec.convert(fields | changes, LiveSnapshot)


def seconds(first: int, requests: list[int], p95_ms: float | None = 1.0) -> list[dict[str, Any]]:
    return [{"at": AT + first + at, "requests": n, "p95_ms": p95_ms} for at, n in enumerate(requests)]


class Terminal:
    """A region in a terminal of some size, and a clock that stands still until it is told to go on."""

    def __init__(self, width: int = 80, height: int = 24, encoding: str = "utf-8", **options: Any) -> None:
        self.out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
        self.console = SafeConsole(keeps_width=True, file=self.out, width=width, height=height, **options)
        self.now_s = 100.0
        self.region = LiveRegion(self.console, lambda: self.now_s)

    def lines(self) -> list[str]:
        """What it shows now."""
        self.out.seek(0)
        self.out.truncate()
        self.console.print(self.region.drawn())
        self.out.flush()
        first, *lines = self.out.buffer.getvalue().decode(self.out.encoding).splitlines()  # type: ignore[attr-defined]
        assert first == "", "it is set off from the notes above it"
        return lines


def shown(*snapshots: LiveSnapshot, ends_in_s: float | None = 55, **terminal: Any) -> list[str]:
    """The lines after these snapshots."""
    made = Terminal(**terminal)
    for each in snapshots:
        made.region.show(each, ends_in_s)
    return made.lines()


def line_with(word: str, lines: list[str]) -> str:
    return next(line for line in lines if word in line)


@pytest.mark.parametrize(
    ("changes", "ends_in_s", "phase", "about"),
    [
        ({"at_s": 5}, 115, "ramp", "40 of 50 users run"),
        ({"at_s": 12}, 108, "warm-up", "the window opens in 0:18"),
        ({"at_s": 65}, 55, "window", "0:55 left"),
        ({"at_s": 65}, None, "window", "open for 0:35"),
        ({"at_s": 65, "warmup_s": 0.0}, None, "window", "open for 0:55"),
        ({"at_s": 121, "stopping_ns": BEGUN + 120 * SECOND}, -1, "stop", "requests in flight may finish: 0:00"),
        ({"stopping_ns": BEGUN + SECOND, "closing": True}, 0, "archive", "the archive is being written: 0:00"),
        ({"ramp_done_ns": None, "closing": True}, 0, "archive", "the archive is being written: 0:00"),
        ({"stopping_ns": BEGUN + SECOND, "closing": True, "closed": True}, 0, "archive", "the archive is complete"),
        ({"at_s": 65, "warmup_s": None}, None, "window", "open for 0:55"),
    ],
)
def test_the_phase_stands_out_among_all_of_them_with_what_it_still_takes(
    changes: dict[str, Any], ends_in_s: float | None, phase: str, about: str
):
    line = line_with(" > ", shown(live(**changes), ends_in_s=ends_in_s))
    steps = ["ramp", *(["warm-up"] if changes.get("warmup_s", 20) else []), "window", "stop", "archive"]
    assert line == " > ".join(f"[{step}]" if step == phase else step for step in steps) + f"   {about}"


def test_stop_and_archive_say_how_long_they_have_taken():
    terminal = Terminal()
    terminal.region.show(live(), 55)
    terminal.now_s += 10
    for changes in ({"at_s": 66.0}, {"at_s": 67.0}):
        terminal.region.show(live(**changes, stopping_ns=BEGUN + 66 * SECOND), 54)
        terminal.now_s += 3
    assert "requests in flight may finish: 0:06" in line_with("[stop]", terminal.lines())


def test_a_bar_shows_how_much_of_the_planned_time_is_over():
    (bar,) = [line for line in shown(live(at_s=30), ends_in_s=90) if "█" in line and "░" in line]
    assert bar.endswith("  0:30 of 2:00")
    assert bar.count("█") == (80 - len("  0:30 of 2:00")) // 4
    assert len(bar) == 80


def test_a_run_that_was_stopped_early_keeps_the_bar_where_it_was():
    stopped = live(at_s=60, stopping_ns=BEGUN + 30 * SECOND)
    assert line_with("░", shown(stopped, ends_in_s=60)).endswith("  0:30 of 2:00")


def test_a_run_whose_end_nothing_tells_has_no_bar():
    lines = shown(live(at_s=65), ends_in_s=None)
    assert lines[1] == "1:05 since the start"
    assert "░" not in "".join(lines)


def test_before_the_first_snapshot_the_region_says_what_is_going_on():
    terminal = Terminal()
    terminal.now_s += 4
    assert terminal.lines() == ["waiting for the run to begin  0:04"]


def test_figures_that_have_not_changed_for_long_are_called_old():
    terminal = Terminal()
    for _ in range(3):
        terminal.region.show(live(), 55)
        terminal.now_s += 2.5
    assert terminal.lines()[0] == "! figures are 0:08 old: no newer ones come"
    terminal.region.show(live(at_s=66), 54)
    assert "old" not in terminal.lines()[0]


def test_trouble_stands_at_the_top_for_as_long_as_it_lasts_and_before_there_are_figures_too():
    terminal = Terminal()
    terminal.region.warn([Trouble(part="archive", text="No space left. Free some", since_ns=1)])
    assert terminal.lines()[0] == "! archive: No space left. Free some"
    terminal.region.show(live(), 55)
    assert terminal.lines()[0] == "! archive: No space left. Free some"
    terminal.region.warn([])
    assert "No space left" not in "".join(terminal.lines())


def test_a_sparkline_goes_from_nothing_to_the_highest_value_and_leaves_out_what_is_unknown():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], ascii_only=True) == "_.:-=+*#"
    assert sparkline([None, 3.0, None, 0.0]) == " █ ▁"
    assert sparkline([0, 0]) == "▁▁", "nothing at all is not the highest"
    assert sparkline([]) == ""


def test_a_bar_never_has_more_or_less_than_its_width():
    for share, width in itertools.product((-1.0, 0.0, 0.33, 0.999, 1.0, 7.0), (0, 1, 10, 77)):
        assert len(progress_bar(share, width)) == width
    assert progress_bar(0.999, 10) == "█████████░", "it is full when all is done, and not before"
    assert progress_bar(0.5, 4, ascii_only=True) == "##.."


def test_a_text_that_is_too_long_loses_its_middle():
    assert shortened("p99[POST /v1/predict]<300ms", 15) == "p99[POS…]<300ms"
    assert [len(shortened("p95<500ms", width)) for width in range(10)] == list(range(10))
    assert shortened("p95[GET /\u65e5\u672c\u65e5\u672c]<300ms", 15) == "p95[GET…]<300ms", (
        "wide characters fill two cells"
    )


def test_the_newest_minute_is_put_together_from_snapshots_and_takes_corrections():
    minute = NewestMinute()
    minute.take(live(seconds=seconds(0, [1, 2, 3])))
    minute.take(live(seconds=seconds(2, [33, 4])))
    assert [each and each.requests for each in minute.last(5)] == [None, 1, 2, 33, 4]
    minute.take(live(seconds=seconds(70, [5])))
    assert [each.requests for each in minute.last(100) if each] == [5], "what is older than a minute is gone"
    minute.take(live(run="another", seconds=seconds(71, [6])))
    assert minute.last(2) == [None, LiveSecond(at=AT + 71, requests=6, p95_ms=1.0)]


def test_rate_and_p95_are_drawn_second_by_second_with_their_highest_values():
    rising = live(seconds=seconds(50, [0, 700, 1400]) + seconds(53, [0], p95_ms=None) + seconds(54, [350], p95_ms=8.0))
    lines = shown(rising)
    rate, p95 = line_with("requests/s", lines), line_with("p95 ", lines)
    assert re.fullmatch(r"requests/s +1,234\.6 +▁▅█▁▃ +1,400", rate)
    assert re.fullmatch(r"p95 +20\.2 ms +▂▂▂ █ +8\.0 ms", p95)
    assert "last 10 s" in line_with("highest", lines), "what the present values are of"


def test_the_highest_value_is_that_of_the_seconds_that_are_shown():
    many = live(seconds=seconds(0, [9_999, *range(59)]))
    narrow, wide = (line_with("requests/s", shown(many, width=width)) for width in (60, 160))
    assert narrow.rstrip().endswith(" 58")
    assert wide.rstrip().endswith(" 9,999")


def test_objectives_show_what_they_measure_now_and_no_verdict():
    lines = shown(live(objectives=OBJECTIVES))
    rows = [re.split(r" {2,}", line.strip()) for line in lines[lines.index("") :]]
    assert ["p95<500ms", "499.9996 ms", "would hold"] in rows, "rounded to 500 it would contradict its result"
    assert ["failures<=0.1%", "12.5 %", "would miss"] in rows
    assert ["cpu(target)<90%", "-", "undecided", "judged at the end of the run"] in rows
    assert not {"pass", "fail", "held", "missed"} & set(" ".join(lines).split())


def test_an_objective_without_a_value_says_why_in_as_many_words_as_fit():
    reason = "p95 could not be measured: no request at all in the window"
    line = line_with("p95<", shown(live(objectives=[{**OBJECTIVES[0], "value": None, "ok": None, "reason": reason}])))
    assert re.split(r" {2,}", line.rstrip()) == ["p95<500ms", "-", "undecided", "no request at all in the window"]


def test_a_count_of_the_whole_window_is_not_taken_for_one_of_a_minute():
    exceptions = {"text": "exceptions==0", "value": 3.0, "unit": "", "reason": "since the window opened: 3"}
    line = line_with("exceptions", shown(live(objectives=[{**exceptions, "ok": False, "since_opened": True}])))
    assert re.split(r" {2,}", line.rstrip()) == ["exceptions==0", "3", "would miss", "since the window opened"]
    undecided = {**exceptions, "ok": None, "since_opened": True, "reason": "judged at the end of the run"}
    line = line_with("exceptions", shown(live(objectives=[undecided])))
    assert line.rstrip().endswith("judged at the end of the run")


NOBODY = {"rps": 0.0, "failure_share": 0.0, "p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0}


def now_of(name: str, **changes: Any) -> str:
    """The figure of the last ten seconds in the row of this name."""
    return re.split(r" {2,}", line_with(f"{name} ", shown(live(**changes))).rstrip())[1]


def test_where_nobody_was_answered_no_share_failed():
    assert [now_of(name, **NOBODY) for name in ("requests/s", "failed", "p95")] == ["0.0", "-", "-"]


def test_percentiles_of_requests_without_a_time_are_no_number():
    untimed = NOBODY | {"rps": 5.0, "seconds": seconds(55, [5] * 10, p95_ms=None)}
    assert [now_of(name, **untimed) for name in ("p50", "p95", "p99")] == ["-", "-", "-"]
    assert now_of("failed", **untimed) == "0.0%"
    some = untimed | {"seconds": seconds(55, [5] * 9, p95_ms=None) + seconds(64, [5]), "p95_ms": 1.0}
    assert now_of("p95", **some) == "1.0 ms"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0%"),
        (1 / 5000, "0.02%"),
        (3 / 7_000_000, "0.00004%"),
        (0.0125, "1.2%"),
        (0.9998, "99.98%"),
        (1, "100.0%"),
    ],
)
def test_few_failures_are_not_none_and_few_answers_not_none_either(share: float, text: str):
    assert now_of("failed", failure_share=share) == text


def test_an_objective_of_another_version_is_shown_as_it_comes():
    unknown = {"text": "p95 is nice", "value": 3.0, "unit": "1/s", "ok": None, "reason": ""}
    assert re.fullmatch(r"p95 is nice +3/s +undecided *", line_with("nice", shown(live(objectives=[unknown]))))


MANY = [
    {"text": f"p95[POST /{'long/' * 20}{n}]<{n}ms", "value": 123456.7, "unit": "ms", "ok": n != 17, "reason": ""}
    for n in range(1, 20)
]
HUGE = {
    "run": "20261123-101500-beef",
    "host": f"http://{'long.' * 40}example.com",
    "users": 123_456,
    "target_users": 123_456,
    "requests": 1_234_567_890,
    "failures": 123_456_789,
    "rps": 123_456.78,
    "failure_share": 1.0,
    "p50_ms": 123_456.7,
    "p95_ms": 234_567.8,
    "p99_ms": 345_678.9,
    "open_model": True,
    "planned_rps": 123_456.7,
    "sent_rps": 123_455.6,
    "lateness_p99_ms": 98_765.4,
    "arrivals": [9_012_345_678, 9_000_000_000, 12_345_678],
    "service_p95_ms": 87_654.3,
    "stage": {"number": 2, "of": 3, "text": "100000/s..999999/s over 300s"},
    "objectives": OBJECTIVES,
    "seconds": seconds(0, [123_456] * 60, p95_ms=234_567.8),
    "usage": [
        {"service": "target", "container": f"t-{n}", "cpu_cores": 99.99, "cpu_limit": 128.0, "mem_bytes": 2**40,
         "mem_limit": 2**41} for n in range(9)
    ],
}  # fmt: skip


@pytest.mark.parametrize("height", [24, 50])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_wide_characters_take_no_room_from_figures(width: int, height: int):
    objective = {**OBJECTIVES[0], "text": f"p95[GET /{chr(0x65E5) * 90}]<500ms"}
    lines = shown(live(host=f"http://{chr(0x65E5) * 90}", objectives=[objective]), width=width, height=height)
    assert max(map(cell_len, lines)) <= width
    assert line_with("would", lines).rstrip().endswith("]<500ms  499.9996 ms  would hold")


@pytest.mark.parametrize("height", [24, 50])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_large_figures_are_complete_and_nothing_is_wider_or_higher_than_the_terminal(width: int, height: int):
    lines = shown(live(**HUGE), width=width, height=height)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert len(lines) < height
    figures = ("123,456/123,456", "1,234,567,890", "123,456,789", "123,456.8", "100.0%", "123,456.7 ms", "234,567.8 ms")
    figures += ("345,678.9 ms", "123,455.6/123,456.7", "12,345,678", "98,765.4 ms", "87,654.3 ms", "2 of 3")
    figures += ("499.9996 ms", "12.5 %", "0:55 left")
    for figure in figures:
        assert figure in text, figure
    whole, hidden = (
        text.count(" 99.99/128 CPU, 1,048,576/2,097,152 MiB"),
        re.search(r"CPU and memory of (\d) more", text),
    )
    assert whole + int(hidden[1] if hidden else 0) == 9
    assert whole == 9 or height == 24


def test_of_objectives_that_are_too_many_those_that_would_miss_are_shown():
    lines = shown(live(objectives=MANY), width=80, height=24)
    assert len(lines) < 24
    missed = line_with("would miss", lines)
    assert missed.rstrip().endswith("]<17ms    123457 ms  would miss"), "its limit is not cut off"
    told = line_with("and ", lines)
    assert sum("would" in line for line in lines) + int(told.split()[1]) == len(MANY)


@pytest.mark.parametrize("width", [1, 7, 20, 40, 60])
def test_no_line_is_wider_than_a_narrow_terminal(width: int):
    assert max(map(len, shown(live(**HUGE), width=width, height=10))) <= width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_an_encoding_without_block_characters_gets_ascii(encoding: str):
    text = "\n".join(shown(live(**HUGE | {"objectives": MANY}), encoding=encoding, width=100, height=60))
    assert text.isascii()
    assert "###..." in text
    assert f"http://{'long.' * 10}" in text
    assert "~" in text, "something was cut off"


def test_letters_that_the_encoding_lacks_take_no_more_room_than_they_had():
    usage = [{**HUGE["usage"][0], "service": "größe", "cpu_limit": None, "mem_limit": None}]
    lines = shown(live(host="http://größe/", usage=usage), encoding="ascii")
    assert lines[0] == "run 20261123-101500-beef on http://gr??e/"
    assert lines[-1] == "gr??e 99.99 CPU, 1,048,576 MiB"


def colours_of(text: str, *, no_color: bool = False) -> set[str]:
    """The foreground colours of what a terminal shows."""
    colours = {"force_terminal": True, "color_system": "standard", "no_color": no_color}
    lines = shown(live(objectives=OBJECTIVES), **colours)
    return {code for line in lines if text in line for code in re.findall(r"\x1b\[(?:[0-9]+;)*(3[0-7])m", line)}


def test_only_results_are_coloured():
    assert colours_of("would hold") == {"32"}
    assert colours_of("would miss") == {"31"}
    assert colours_of("undecided") == {"33"}
    assert colours_of("█") == colours_of("[window]") == colours_of("requests") == set()


def test_without_colours_every_result_is_a_word():
    assert colours_of("", no_color=True) == set()
    assert "would miss" in "".join(shown(live(objectives=OBJECTIVES), no_color=True))
