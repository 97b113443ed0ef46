"""The report in a real browser: desktop and phone, light and dark, large, empty and hostile runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.charts.page import write_report
from loadstone.domain.usage_tick import Usage
from support.closed_runs import HOSTILE, MadeRun, closed, names
from support.page_checks import assert_accessible, assert_quiet, clicked, dragged, drawn, fits, layout_shift, tabbed
from support.run_maker import IncarnationMaker, RunMaker, Sample

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from support.chromium import Browser, Page

SHAPES = {"desktop": (1280, 900), "phone": (390, 844)}
EVIL = '"><img src=x onerror="window.hit=1">'
RIGHT, END = 39, 35
PLUS, ZERO = 187, 48
SHIFT = 0.1
"""Cumulative layout shift up to which a page feels stable (web.dev/cls)."""
MOST_BYTES = 300_000
WIDE = ["rate", "latency", "cpu", "memory", "failures", "errors"]


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
        assert layout_shift(page) < SHIFT
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
        reached = "\n".join(tabbed(page, 60))
    assert "Latency, chart" in reached
    assert "Requests, whole run, table" in reached
    assert "p95" in reached
    assert "/Copy as Markdown" in reached
    assert "/log scale" in reached


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


def test_a_printed_page_is_as_wide_as_the_paper(browser: Browser, folders):
    with browser.page(width=760) as page:
        page.open(address(folders["failing"]))
        page.scheme(dark=False, media="print")
        page.wait_for("document.querySelector('#table-workers details').open")
        assert fits(page, 760)
        assert page.evaluate("document.querySelector('.tools').offsetWidth") == 0


def test_a_baseline_has_a_section_of_its_own(browser: Browser, folders, tmp_path: Path):
    rows = [["all requests", "p95", "40", "44", "+10 %", "[+8, +12]", "yes"]]
    write_report(folders["failing"], baseline=rows, baseline_id="usual")
    with browser.page() as page:
        page.open(address(folders["failing"]))
        said = page.evaluate("document.querySelector('#table-baseline').innerText")
    assert "Change from baseline usual" in said
    assert "[+8, +12]" in said


def test_the_answer_comes_before_the_figures_and_those_before_the_charts(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["failing"]))
        order = page.evaluate("""[".verdict", "#table-objectives", "#figures", "#charts", "#table-window"]
          .map((each) => document.querySelector(each).getBoundingClientRect().top)""")
        answer = page.evaluate("document.querySelector('.answer').innerText.split('\\n').join(' ')")
        assert order == sorted(order)
        assert order[1] < 250, "on the first screen"
    assert answer.strip() == "fail The objective was missed."


def test_wide_charts_share_one_time_axis_and_latency_stands_right_above_cpu_and_memory(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        shown = page.evaluate("[...document.querySelectorAll('figure.wide')].map((each) => each.id.slice(6))")
        edges = page.evaluate("""[...document.querySelectorAll('figure.wide .u-over')]
          .map((each) => { const box = each.getBoundingClientRect(); return [box.left, box.right]; })""")
    assert shown == [*WIDE, "heat"]
    assert edges == [edges[0]] * len(shown)


def test_users_and_rate_stand_in_one_chart_and_latency_has_the_mean(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert list(drawn(page, "rate")) == ["time", "requests", "failures", "users", "users wanted"]
        assert page.evaluate("window.loadstone.view.charts.get('rate').series[3].scale") == "beside"
        assert "mean" in drawn(page, "latency")


LEGEND = """[...document.querySelectorAll('#chart-rate .u-legend :is(.u-label, .u-value)')]
  .filter((each) => each.offsetWidth).map((each) => each.textContent).filter(Boolean).join(' ')"""


def test_a_legend_shows_values_only_while_somebody_points_at_a_moment(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert page.evaluate(LEGEND) == "requests failures users users wanted"
        page.evaluate("document.querySelector('#chart-rate .chart').focus()")
        page.press("End", code=END)
        page.wait_for(f"{LEGEND}.startsWith('0:59 requests 40 failures ')")
        page.wait_for("[...window.loadstone.view.charts.values()].every((chart) => chart.cursor.idx === 59)")


def test_the_latency_axis_can_be_logarithmic(browser: Browser, folders):
    scale = "window.loadstone.view.charts.get('latency').scales.y.distr"
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert page.evaluate(scale) == 1
        clicked(page, "#chart-latency button")
        page.wait_for(f"{scale} === 3")
        assert page.evaluate("document.querySelector('#chart-latency button').getAttribute('aria-pressed')") == "true"
        clicked(page, "#chart-latency button")
        page.wait_for(f"{scale} === 1")
        assert page.complaints == []


RANGES = """[...window.loadstone.view.charts.values()].map((chart) =>
  [chart.scales.x.min, chart.scales.x.max].map(Math.round).join(' '))"""


def ranges(page) -> set[str]:
    return set(page.evaluate(RANGES))


def test_dragging_across_a_chart_zooms_all_of_them_and_a_button_shows_the_whole_run_again(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert ranges(page) == {"0 59"}
        assert page.evaluate("getComputedStyle(document.querySelector('.whole')).visibility") == "hidden"
        dragged(page, "#chart-latency .u-over", 0.25, 0.5)
        page.wait_for(f"new Set({RANGES}).size === 1 && {RANGES}[0] !== '0 59'")
        (shown,) = ranges(page)
        first, last = map(int, shown.split())
        assert abs(first - 59 / 4) < 2
        assert abs(last - 59 / 2) < 2
        clicked(page, ".whole")
        page.wait_for(f"{RANGES}.every((each) => each === '0 59')")


def test_charts_are_zoomed_by_keys_too(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        page.evaluate("document.querySelector('#chart-cpu .chart').focus()")
        page.press("+", code=PLUS)
        page.wait_for(f"{RANGES}.every((each) => each === '15 44')")
        page.press("0", code=ZERO)
        page.wait_for(f"{RANGES}.every((each) => each === '0 59')")


def test_workers_are_folded_while_all_is_well_and_open_where_one_lost_requests(browser: Browser, folders):
    is_open = "document.querySelector('#table-workers details').open"
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert page.evaluate(is_open) is False
        page.scheme(dark=False, media="print")
        page.wait_for(is_open)
        page.scheme(dark=False)
        page.wait_for(f"!{is_open}")
        page.evaluate("document.querySelector('#table-workers summary').focus()")
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r", windowsVirtualKeyCode=13)
        page.wait_for(is_open)


def test_workers_that_were_in_trouble_for_a_moment_stay_open(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        shown = page.evaluate("""(() => {
          const page = structuredClone(window.loadstone.view.page);
          const spec = page.catalogue.tables.find((each) => each.id === "workers");
          const isOpen = (folded) => Parts.tableSection(spec, { ...page, folded }).querySelector("details").open;
          return [isOpen(["workers"]), isOpen([]), isOpen(["workers"])]; })()""")
    assert shown == [False, True, True]


COPIED = """document.addEventListener('copy', () => {
  const box = document.activeElement; window.copied = box.value.slice(box.selectionStart, box.selectionEnd); })"""


@pytest.mark.parametrize("refused", [False, True], ids=["the old way works", "nothing works"])
def test_the_summary_is_copied_as_markdown_also_where_the_clipboard_is_not_allowed(
    browser: Browser, axe: str, folders, *, refused: bool
):
    with browser.page() as page:
        page.open(address(folders["failing"]))
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.evaluate(COPIED)
        if refused:
            page.evaluate("document.execCommand = () => false")
        clicked(page, ".tools button")
        page.wait_for("document.querySelector('.tools [role=status]').textContent !== ''")
        said = page.evaluate("document.querySelector('.tools [role=status]').textContent")
        shown = page.evaluate("document.querySelector('.tools textarea')?.value")
        text = shown if refused else page.evaluate("window.copied")
        assert said == ("Press Ctrl+C to copy." if refused else "Copied.")
        assert (shown is None) != refused
        assert_accessible(page, axe)
    lines = text.splitlines()
    assert lines[0] == "**loadstone report: run failing: fail**"
    assert "| objective | result | measured | limit | unit | margin | 99 % interval | reason |" in lines
    assert any(line.startswith("| p95\\<1ms | missed | ") for line in lines)
    assert "| requests/s | 40 | window |" in lines


def test_a_hostile_name_is_text_in_markdown_too(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["hostile"]))
        escaped = page.evaluate("""(() => { const page = structuredClone(window.loadstone.view.page);
          page.state.reasons = ["a | b\\n<script> [x](y) `c` *d* @me"];
          return Summary.markdown(page, window.loadstone.view.page.catalogue); })()""")
    assert "- a \\| b \\<script\\> \\[x\\](y) \\`c\\` \\*d\\* \\@me\n" in escaped


def test_a_page_that_moves_what_its_reader_looks_at_would_be_noticed(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert layout_shift(page) < SHIFT
        page.evaluate("document.querySelector('#table-objectives').style.marginTop = '300px'")
        assert layout_shift(page) > SHIFT


@pytest.mark.parametrize("name", ["usual", "failing", "hostile", "empty"])
def test_a_report_is_at_most_300_kb(folders, name: str):
    assert folders[name].report.stat().st_size <= MOST_BYTES


def test_a_report_of_ten_minutes_with_many_names_is_at_most_300_kb(folders):
    assert folders["large"].report.stat().st_size <= MOST_BYTES


POINTS = """(() => { const chart = window.loadstone.view.charts.get(CHART), at = LINE;
  return chart.series[at].points.filter(chart, at, false, []) ?? []; })()"""


def points_of(page: Page, chart: str, line: int = 1) -> list[int]:
    """Where a line of a chart has points of its own."""
    return list(page.evaluate(POINTS.replace("CHART", repr(chart)).replace("LINE", str(line))))


PAINTED = """(() => { const { ctx, bbox } = window.loadstone.view.charts.get('latency');
  const pixels = ctx.getImageData(bbox.left + 8, bbox.top, bbox.width - 16, bbox.height - 8).data;
  let coloured = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const [r, g, b, a] = pixels.slice(i, i + 4);
    if (a === 255 && Math.max(r, g, b) - Math.min(r, g, b) > 90) coloured += 1;
  }
  return coloured; })()"""


def test_a_service_that_answers_every_three_seconds_has_points_where_there_are_no_lines(
    browser: Browser, tmp_path: Path
):
    made, incarnation = RunMaker().started(), IncarnationMaker()
    answers = [Sample(at + 0.5, 2_900_000) for at in (3, 6, 9, 12, 13, 16)]
    made.add(incarnation.batch(answers, at_s=19.5, final=True))
    folder = closed(tmp_path / "slow", made.stopped(20).entries, 20)
    write_report(folder)
    with browser.page() as page:
        page.open(address(folder))
        assert points_of(page, "latency") == [3, 6, 9, 16]
        assert page.evaluate(PAINTED) > 100


def usage_with_gaps(tmp_path: Path) -> RunFolder:
    """Usage of 40 seconds of which one, then three, then four are missing."""
    made, incarnation = RunMaker().started(), IncarnationMaker()
    for second in range(40):
        if second not in {5, 10, 11, 12, 20, 21, 22, 23}:
            made.usage(second + 0.5, Usage(service="target", container="target-1", cpu_cores=1.0, cpu_limit=2.0))
        made.add(incarnation.batch([Sample(second + 0.5)], at_s=second + 1))
    made.add(incarnation.batch(at_s=40.1, final=True))
    folder = closed(tmp_path / "gaps", made.stopped(40).entries, 40)
    write_report(folder)
    return folder


def test_lines_of_usage_go_on_across_at_most_three_missing_seconds(browser: Browser, tmp_path: Path):
    gaps = """(() => { const chart = window.loadstone.view.charts.get('cpu');
      return chart.series[1]._paths.gaps.map((gap) => gap.map((px) => Math.round(chart.posToVal(px, 'x', true))));
    })()"""
    with browser.page() as page:
        page.open(address(usage_with_gaps(tmp_path)))
        assert page.evaluate(gaps) == [[19, 24]]
        assert points_of(page, "cpu") == []


def test_points_of_several_seconds_say_what_they_are(browser: Browser, folders):
    captions = "[...document.querySelectorAll('figcaption .muted')].map((each) => each.textContent)"
    with browser.page() as page:
        page.open(address(folders["usual"]))
        assert not any("each point" in text for text in page.evaluate(captions))
        page.open(address(folders["large"]))
        shown = page.evaluate(captions)
    assert shown[1] == "ms; each point is of all requests in 2 s"
    assert "cores; each point is the mean of 2 s" in shown
    assert "MiB; each point is the highest value in 2 s" in shown
    assert all("2 s" in text for text in shown)


def test_what_is_small_is_not_said_to_be_nothing(browser: Browser, folders):
    with browser.page() as page:
        page.open(address(folders["usual"]))
        texts = page.evaluate("[0, 0.0004, 0.00041234, 0.000004, 0.001, 0.5].map((v) => Parts.format('percent', v))")
    assert texts == ["0 %", "0.0004 %", "0.00041 %", "0.000004 %", "0.001 %", "0.5 %"]
