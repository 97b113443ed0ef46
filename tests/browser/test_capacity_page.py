"""The page of a study in a real browser: desktop and phone, light and dark, usual, large and hostile studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadstone.capacity.page import write_page
from loadstone.capacity.study_record import SettingQuestion
from loadstone.domain.units import MIB
from support.page_checks import assert_accessible, assert_quiet, fits, tabbed
from support.studies import BEST, LESS_CPU, QUOTA, SETTINGS_STUDY, USERS_STUDY, settings_study, trial

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.capacity.study_record import StudyRecord
    from support.chromium import Browser

SHAPES = {"desktop": (1280, 900), "phone": (390, 844)}
EVIL = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>'
LONG = "a_name_without_any_place_to_break_it_" * 8


def large() -> StudyRecord:
    """Forty CPU steps, twelve of memory, and a hundred trials."""
    assert isinstance(SETTINGS_STUDY.question, SettingQuestion)
    question = replace(
        SETTINGS_STUDY.question,
        cpu_cores=tuple(round(0.25 * step, 2) for step in range(1, 41)),
        mem_bytes=tuple(256 * MIB * step for step in range(1, 13)),
    )
    return settings_study(question=question, trials=tuple(SETTINGS_STUDY.trials[number % 8] for number in range(100)))


STUDIES = {
    "settings": SETTINGS_STUDY,
    "users": USERS_STUDY,
    "in-progress": settings_study(answer=None, trials=(), calibration=None),
    "large": large(),
    "hostile": settings_study(
        id=EVIL,
        host=EVIL,
        rig=LONG,
        scenario=(EVIL, LONG),
        trials=(
            trial(1, BEST, 300, run=EVIL),
            trial(2, LESS_CPU, 900, reasons=(EVIL,), bottleneck=replace(QUOTA, evidence=EVIL, cure=LONG)),
        ),
    ),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    results = tmp_path_factory.mktemp("results")
    folders = {name: results / "studies" / name for name in STUDIES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return {name: write_page(folders[name], study) for name, study in STUDIES.items()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_quiet_accessible_and_fits(browser: Browser, axe: str, pages, name: str, shape: str, *, dark: bool):
    width, height = SHAPES[shape]
    with browser.page(width=width, height=height, dark=dark) as page:
        page.open(pages[name].as_uri())
        assert_quiet(page, "file:")
        assert fits(page, width)
        assert_accessible(page, axe)
        assert page.evaluate("window.hit") is None


def test_the_policy_lets_no_script_run(browser: Browser, pages):
    with browser.page() as page:
        page.open(pages["settings"].as_uri())
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hit = 1'}))")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
        page.wait_for("document.images.length === 1 && document.images[0].complete")
        assert page.evaluate("window.hit") is None


def test_the_links_lead_to_the_reports_of_the_trials(browser: Browser, pages):
    results = pages["settings"].parents[2]
    run = SETTINGS_STUDY.trials[0].run
    (results / run).mkdir()
    (results / run / "report.html").write_text("<!doctype html><title>the report</title>")
    with browser.page() as page:
        page.open(pages["settings"].as_uri())
        page.evaluate("document.querySelector('#trials a').click()")
        page.wait_for("document.title === 'the report'")


def test_hostile_names_are_shown_as_text_and_their_links_lead_nowhere_else(browser: Browser, pages):
    with browser.page() as page:
        page.open(pages["hostile"].as_uri())
        assert EVIL in page.evaluate("document.querySelector('h1').innerText")
        assert EVIL in page.evaluate("document.querySelector('#trials').innerText")
        assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0
        assert page.evaluate("document.querySelector('#trials a').href").startswith("file:///")


def test_colours_follow_the_scheme(browser: Browser, pages):
    def colours(*, dark: bool) -> list[str]:
        with browser.page(dark=dark) as page:
            page.open(pages["settings"].as_uri())
            held = "getComputedStyle(document.querySelector('#chart-price .mark.holds')).fill"
            return [page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(held)]

    assert colours(dark=False) == ["rgb(255, 255, 255)", "rgb(20, 108, 46)"]
    assert colours(dark=True) == ["rgb(20, 23, 26)", "rgb(127, 219, 152)"]


def test_plots_tables_and_links_are_reached_by_keyboard(browser: Browser, pages):
    with browser.page() as page:
        page.open(pages["settings"].as_uri())
        reached = "\n".join(tabbed(page, 20))
    assert "Trials with 2 replicas: CPU to the right, memory upwards, chart" in reached
    assert "Evidence, table" in reached
    assert "All trials, table" in reached
    assert SETTINGS_STUDY.trials[0].run in reached


def test_the_numbers_of_the_map_can_be_read_as_a_table(browser: Browser, pages):
    with browser.page() as page:
        page.open(pages["settings"].as_uri())
        page.evaluate("document.querySelector('#map details').open = true")
        said = page.evaluate("document.querySelector('#map details').innerText")
    assert "3 of 3 trials held, 1 invalid" in said


@pytest.mark.parametrize(("width", "rows"), [(1280, 1), (400, 3)])
def test_the_nine_tiles_stand_in_even_rows(browser: Browser, pages, width: int, rows: int):
    with browser.page(width=width) as page:
        page.open(pages["settings"].as_uri())
        tops = page.evaluate("[...document.querySelectorAll('.tile')].map((each) => each.offsetTop)")
    assert sorted(tops.count(top) for top in {*tops}) == [9 // rows] * rows


def test_the_source_of_limits_is_never_broken_into_lines(browser: Browser, pages):
    with browser.page(width=400) as page:
        page.open(pages["settings"].as_uri())
        table = "document.querySelector('#trials .scroll')"
        assert page.evaluate(f"{table}.scrollWidth > {table}.clientWidth")
        lines = page.evaluate("""[...document.querySelectorAll('#trials td:last-child')].map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return range.getClientRects().length;
        })""")
    assert lines == [1] * len(SETTINGS_STUDY.trials)


def test_marks_say_what_they_are(browser: Browser, pages):
    with browser.page() as page:
        page.open(pages["settings"].as_uri())
        titles = page.evaluate("[...document.querySelectorAll('#chart-latency title')].map((each) => each.textContent)")
    assert titles[4] == "trial 6: 0.5 CPU and 512m x 2 replicas: does not hold, p95 900.0 ms"
