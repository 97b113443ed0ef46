"""The report in a real browser: desktop and phone, light and dark, large, empty and hostile runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.charts.page import write_report
from support.closed_runs import HOSTILE, MadeRun, names
from support.page_checks import assert_accessible, assert_quiet, drawn, fits, tabbed

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from support.chromium import Browser

SHAPES = {"desktop": (1280, 900), "phone": (390, 844)}
EVIL = '"><img src=x onerror="window.hit=1">'
RIGHT, END = 39, 35


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    results = tmp_path_factory.mktemp("results")
    made = {
        "usual": MadeRun(run="usual", seconds=60),
        "failing": MadeRun(run="failing", objectives=["p95<1ms"], failure_share=0.3),
        "large": MadeRun(run="large", seconds=600, rate=200, names=names(200)),
        "empty": MadeRun(run="empty", rate=0, usage=False),
        "hostile": MadeRun(run="hostile", names=[("GET", HOSTILE), ("GET", EVIL)], error=EVIL, failure_share=0.5),
    }
    folders = {name: each.close(results) for name, each in made.items()}
    for folder in folders.values():
        write_report(folder)
    return folders


def address(folder: RunFolder) -> str:
    return folder.report.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["usual", "failing", "large", "empty", "hostile"])
def test_a_report_is_quiet_accessible_and_fits(browser: Browser, axe: str, folders, name: str, shape: str, dark: bool):
    width, height = SHAPES[shape]
    with browser.page(width=width, height=height, dark=dark) as page:
        page.open(address(folders[name]))
        assert_quiet(page, "file:")
        assert fits(page, width)
        assert_accessible(page, axe)
        assert page.evaluate("window.hit") is None


def test_the_drawn_numbers_are_those_of_the_archive(browser: Browser, folders):
    rows = [row for row in pq.read_table(folders["usual"].rollups).to_pylist() if row["name"] == "/predict"]
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert drawn(page, "names_rate")["POST /predict"] == [row["n"] for row in rows]
        assert drawn(page, "names_p95")["POST /predict"] == [row["p95_us"] / 1000 for row in rows]
        assert drawn(page, "rate")["requests"] == [40] * 60


def test_a_large_run_draws_at_most_20_series_and_lists_every_name(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["large"]))
        assert len(drawn(page, "names_rate")) == 21  # with the time
        assert page.evaluate("document.querySelectorAll('#table-names tbody tr').length") == 201


def test_an_empty_run_says_what_is_missing(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["empty"]))
        said = page.evaluate("document.body.innerText")
    assert "inconclusive" in said
    assert "no request at all in the window" in said
    assert "No request was sent." in said


def test_hostile_names_are_shown_as_text(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["hostile"]))
        assert HOSTILE in page.evaluate("document.querySelector('#table-names').innerText")
        assert EVIL in page.evaluate("document.querySelector('#table-errors').innerText")
        assert page.evaluate("document.querySelectorAll('#page script, #page img').length") == 0


def test_charts_tables_and_legends_are_reached_by_keyboard(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        reached = "\n".join(tabbed(page, 45))
    assert "Latency, chart" in reached
    assert "Requests, whole run, table" in reached
    assert "p95" in reached


def test_arrow_keys_move_the_cursor_of_all_charts_together(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        page.evaluate("document.querySelector('#chart-latency .chart').focus()")
        page.press("Home", code=36)
        page.press("ArrowRight", code=RIGHT)
        page.wait_for("window.loadstone.view.charts.get('cpu').cursor.idx === 1")
        assert page.evaluate("window.loadstone.view.charts.get('latency').cursor.idx") == 1


def test_the_numbers_of_a_chart_can_be_read_as_a_table(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        page.evaluate("document.querySelector('#chart-rate details').open = true")
        page.wait_for("document.querySelectorAll('#chart-rate details tbody tr').length === 60")


def test_dark_colours_give_way_to_light_ones_in_print(browser: Browser, folders):
    back = "getComputedStyle(document.body).backgroundColor"
    with browser.page(dark=True) as page:
        page.open(address(folders["usual"]))
        assert page.evaluate(back) == "rgb(20, 23, 26)"
        page.scheme(dark=True, media="print")
        assert page.evaluate(back) == "rgb(255, 255, 255)"


def test_a_baseline_has_a_section_of_its_own(browser: Browser, folders, tmp_path: Path):
    rows = [["all requests", "p95", "40", "44", "+10 %", "[+8, +12]", "yes"]]
    write_report(folders["failing"], baseline=rows, baseline_id="usual")
    with browser.page() as page:
        page.open(address(folders["failing"]))
        said = page.evaluate("document.querySelector('#table-baseline').innerText")
    assert "Change from baseline usual" in said
    assert "[+8, +12]" in said
