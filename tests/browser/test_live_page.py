"""The live page in a real browser, during a real run and after it: reload, lost connection, numbers, access."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow.parquet as pq

from loadstone.archive.run_state import RunState
from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import snapshot
from loadstone.domain.live import Trouble
from loadstone.domain.usage_tick import Usage
from support.closed_runs import MadeRun
from support.page_checks import assert_accessible, assert_quiet, clicked, drawn, fits, layout_shift, tabbed
from support.processes import free_port, port_answers
from support.relay import Relay
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadstone.domain.live import LiveSnapshot
    from support.chromium import Browser
    from support.loadstone_run import LoadstoneRun

SHIFT = 0.1
"""Cumulative layout shift up to which a page feels stable (web.dev/cls)."""
MOST_BYTES = 300_000
"""Of a report."""
SEEN = "(window.loadstone.view.page ? window.loadstone.view.page.t.length : 0)"
VERDICT = "document.querySelector('.verdict') && document.querySelector('.verdict').textContent === 'pass'"


def start(new_run: Callable[..., LoadstoneRun], target: str, seconds: int, *model: str) -> tuple[LoadstoneRun, str]:
    port = free_port()
    model = model or ("--users", "6")
    load = ("--host", target, *model, "--spawn-rate", "50", "--workers", "2", "--run-time", f"{seconds}s")
    run = new_run("mixed", *load, "--live-port", str(port), "--objective", "p95<5s")
    run.start()
    run.wait_for(lambda: port_answers(port) or None)
    return run, f"http://127.0.0.1:{port}/"


def archived(run: LoadstoneRun) -> dict[int, int]:
    """Requests by second, as the archive has them."""
    seconds: dict[int, int] = {}
    for row in pq.read_table(run.run_folder() / "rollups.parquet").to_pylist():
        second = round(row["second"].timestamp())
        seconds[second] = seconds.get(second, 0) + row["n"]
    return seconds


def test_a_live_page_draws_the_archives_numbers_and_ends_with_the_verdict(
    browser: Browser, axe: str, new_run, counting_server
):
    run, address = start(new_run, counting_server.url, 12)
    with browser.page() as page:
        page.open(address, f"window.loadstone && {SEEN} > 4")
        assert layout_shift(page) < SHIFT
        assert fits(page, 1280)
        assert page.evaluate(HEADINGS)[-1] == "max ms"
        assert_accessible(page, axe)
        assert "No request failed" not in page.evaluate("document.body.innerText")  # nobody knows that yet
        page.wait_for(VERDICT, within_s=60)
        assert layout_shift(page) < SHIFT
        lines = drawn(page, "rate")
        shown = page.evaluate("window.loadstone.view.page.started_at")
        assert_quiet(page, address)
    assert run.finish() == 0, run.output
    assert address in run.output
    assert (run.run_folder() / "report.html").stat().st_size <= MOST_BYTES
    begin = round(datetime.fromisoformat(shown).timestamp())
    seconds = archived(run)
    drawn_seconds = {begin + at: n for at, n in zip(lines["time"], lines["requests"], strict=True)}
    assert {second: n for second, n in drawn_seconds.items() if n} == seconds


def test_a_phone_in_the_dark_sees_the_same_and_a_reload_loses_nothing(
    browser: Browser, axe: str, new_run, counting_server
):
    run, address = start(new_run, counting_server.url, 10)
    with browser.page(width=390, height=844, dark=True) as page:
        page.open(address, f"window.loadstone && {SEEN} > 3")
        before = drawn(page, "rate")["time"]
        page.open(address, f"window.loadstone && {SEEN} >= {len(before)}")
        assert drawn(page, "rate")["time"][: len(before)] == before
        assert fits(page, 390)
        assert_accessible(page, axe)
        assert layout_shift(page) < SHIFT
        assert "Requests, whole run, table" in "\n".join(tabbed(page, 70))
        assert_quiet(page, address)
    assert run.finish() == 0, run.output


HEADINGS = "[...document.querySelectorAll('#table-names thead th')].map((cell) => cell.textContent)"
TOO_WIDE = """[...document.querySelectorAll('.tile')].filter((tile) => tile.scrollWidth > tile.clientWidth)
  .map((tile) => tile.textContent)"""


def test_a_live_page_of_the_open_model_shows_both_times_of_each_name_and_its_rates(
    browser: Browser, axe: str, new_run, counting_server
):
    run, address = start(new_run, counting_server.url, 8, "--rate", "100/s")
    with browser.page() as page:
        page.open(address, f"window.loadstone && {SEEN} > 4")
        page.wait_for("window.loadstone.view.charts.has('latency')")
        assert page.evaluate(HEADINGS)[-1] == "service p95 ms"
        assert "service p95" in drawn(page, "latency")
        assert "arrivals/s" in page.evaluate("document.getElementById('figures').innerText")
        assert page.evaluate(TOO_WIDE) == []
        assert_accessible(page, axe)
        page.wait_for(VERDICT, within_s=60)
    assert run.finish() == 0, run.output


def test_a_page_that_was_cut_off_catches_up(browser: Browser, new_run, counting_server):
    run, address = start(new_run, counting_server.url, 14)
    relay = Relay(int(address.rstrip("/").rpartition(":")[2]))
    with browser.page() as page:
        page.open(f"http://127.0.0.1:{relay.port}/", f"window.loadstone && {SEEN} > 2")
        relay.cut()
        page.wait_for("document.querySelector('.status').textContent.includes('Reconnecting')")
        seen = page.evaluate(SEEN)
        relay.restore()
        page.wait_for(f"{SEEN} > {seen} + 2")
        page.wait_for(VERDICT, within_s=60)
        lines = drawn(page, "rate")
        begin = lines["time"][0]  # the second in which the first request ended
        assert lines["time"] == list(range(begin, begin + len(lines["time"])))
        assert None not in lines["requests"]
    relay.cut()
    assert run.finish() == 0, run.output


def test_what_is_in_trouble_stands_on_the_page_until_it_is_over(browser: Browser, axe: str, tmp_path: Path):
    port, state = free_port(), RunState()
    for entry in RunMaker().started().entries:
        state.apply(entry)
    live = snapshot("r", state, now_ns=START + SECOND)
    trouble = Trouble(part="archive", text="cannot write <b>the journal</b>: No space left", since_ns=START)
    shown = "document.querySelector('.troubles') && document.querySelector('.troubles').innerText"
    with serving("127.0.0.1", port, tmp_path) as board, browser.page() as page:
        assert board is not None
        board.show(msgspec.structs.replace(live, troubles=(trouble,)), state)
        page.open(f"http://127.0.0.1:{port}/", f"{shown} !== ''")
        assert page.evaluate(shown).strip() == "archive: cannot write <b>the journal</b>: No space left (just now)"
        assert_accessible(page, axe)
        board.show(msgspec.structs.replace(live, run="s"), state)
        page.wait_for(f"{shown} === ''")


STOP_AND_FINAL = 4
"""The last entries of a made run: its final batch, a stage, stopping and stopped."""


def state_after(seconds: int, *, usage: bool = True) -> tuple[LiveSnapshot, RunState]:
    """What is known of a run so many seconds after its start."""
    state = RunState()
    for entry in MadeRun(run="r", seconds=seconds, usage=usage).entries()[:-STOP_AND_FINAL]:
        state.apply(entry)
    return snapshot("r", state, now_ns=START + seconds * SECOND), state


NEWEST = "document.querySelector('#chart-rate .u-legend tr:nth-child(2) .u-value').textContent"
ZOOMED = "window.loadstone.view.charts.get('cpu').scales.x"


def test_a_live_page_keeps_what_its_reader_chose_while_numbers_come_in(browser: Browser, tmp_path: Path):
    port = free_port()
    with serving("127.0.0.1", port, tmp_path) as board, browser.page() as page:
        assert board is not None
        board.show(*state_after(20))
        page.open(f"http://127.0.0.1:{port}/", f"window.loadstone && {SEEN} > 10")
        page.wait_for(f"{NEWEST} === '40'")  # the newest second, while nobody points at another one
        page.evaluate("Zoom.show([5, 10])")
        clicked(page, "#chart-latency button")
        clicked(page, "#table-workers summary")
        time.sleep(1.1)  # the board takes one state a second
        seen = page.evaluate(SEEN)
        board.show(*state_after(35))
        page.wait_for(f"{SEEN} > {seen} + 10")
        assert page.evaluate(f"[{ZOOMED}.min, {ZOOMED}.max]") == [5, 10]
        assert page.evaluate("window.loadstone.view.charts.get('latency').scales.y.distr") == 3
        assert page.evaluate("document.querySelector('#table-workers details').open") is True
        clicked(page, ".whole")
        page.wait_for(f"{ZOOMED}.max === window.loadstone.view.page.t.at(-1)")
        assert page.complaints == []


TOTAL = "document.querySelector('#table-names tbody td').textContent"
PLACE = "document.querySelector('#table-names').getBoundingClientRect().top"
FOCUS = "document.activeElement.closest('section')?.id + ' ' + document.activeElement.className"


def test_a_table_that_somebody_clicked_stays_up_to_date_and_keeps_the_focus_even_in_the_next_run(
    browser: Browser, tmp_path: Path
):
    port = free_port()
    with serving("127.0.0.1", port, tmp_path) as board, browser.page() as page:
        assert board is not None
        board.show(*state_after(20, usage=False))
        page.open(f"http://127.0.0.1:{port}/", f"window.loadstone && {SEEN} > 10")
        clicked(page, "#table-names tbody th")
        assert page.evaluate(FOCUS) == "table-names scroll"
        assert page.evaluate(TOTAL) == "800"
        at_px = page.evaluate(PLACE)
        time.sleep(1.1)  # the board takes one state a second
        board.show(*state_after(35, usage=False))
        page.wait_for(f"{TOTAL} === '1,400'")
        assert page.evaluate(FOCUS) == "table-names scroll"
        assert abs(page.evaluate(PLACE) - at_px) < 2
        live, state = state_after(15, usage=False)
        time.sleep(1.1)
        board.show(msgspec.structs.replace(live, run="s"), state)
        page.wait_for(f"{TOTAL} === '600'")
        assert page.evaluate(FOCUS) == "table-names scroll"
        page.evaluate("document.querySelector('#table-workers summary').focus()")
        live, state = state_after(25, usage=False)
        time.sleep(1.1)
        board.show(msgspec.structs.replace(live, run="s"), state)
        page.wait_for(f"{TOTAL} === '1,000'")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert page.complaints == []


def test_a_live_page_of_many_containers_draws_those_of_the_target_first_and_keeps_its_legends_short(
    browser: Browser, axe: str, tmp_path: Path
):
    port, state = free_port(), RunState()
    made, incarnation = RunMaker(run="r").started(), IncarnationMaker(run="r")
    for second in range(20):
        made.add(incarnation.batch([Sample(second + 0.5)], at_s=second + 1))
    made.usage(15.5, *many_containers())
    for entry in made.entries:
        state.apply(entry)
    with serving("127.0.0.1", port, tmp_path) as board, browser.page() as page:
        assert board is not None
        board.show(snapshot("r", state, now_ns=START + 20 * SECOND), state)
        page.open(f"http://127.0.0.1:{port}/", f"window.loadstone && {SEEN} > 10")
        labels = [label for label in drawn(page, "cpu") if label != "time"]
        assert labels[:4] == ["target-1", "worker-23", "worker-22", "worker-21"]
        assert len(labels) == 20
        assert page.evaluate("document.querySelector('#chart-cpu .u-legend').clientHeight") <= THREE_LINES_PX
        assert page.evaluate("document.querySelector('#chart-cpu h3').textContent") == "CPU"
        assert page.evaluate("document.querySelector('#table-usage_now tbody th').textContent") == "target-1"
        assert_accessible(page, axe)


THREE_LINES_PX = 72


def many_containers() -> list[Usage]:
    workers = [Usage(service="worker", container=f"worker-{at:02}", cpu_cores=0.1 * (at + 1)) for at in range(24)]
    target = Usage(service="target", container="target-1", cpu_cores=0.05, cpu_limit=2.0, mem_bytes=1_000_000)
    return [*workers, target]
