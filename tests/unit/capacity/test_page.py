"""The page of a study: what it says, that names cannot become markup, and what its plots draw."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from loadstone.capacity.answer import answer_text
from loadstone.capacity.page import page_text, write_page
from loadstone.capacity.page_plots import cost_of, tried_settings
from loadstone.capacity.plots import Axis
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion, UsersAnswerRecord
from loadstone.domain.units import MIB
from loadstone.rig.rig import Setting
from support.studies import (
    BEST,
    LESS_CPU,
    LESS_MEMORY,
    QUOTA,
    SETTINGS_STUDY,
    TOP,
    USERS_STUDY,
    settings_study,
    trial,
)

if TYPE_CHECKING:
    from pathlib import Path

EVIL = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>'


def body(text: str) -> ET.Element:
    """The page's content; raises where its markup is not balanced."""
    return ET.fromstring(re.search(r"<main.*</main>", text, re.DOTALL)[0])  # type: ignore[index]


def words(node: ET.Element | None) -> str:
    assert node is not None
    return " ".join(" ".join(node.itertext()).split())


def part(text: str, name: str) -> ET.Element:
    found = body(text).find(f".//*[@id='{name}']")
    assert found is not None
    return found


def marks(text: str, figure: str) -> list[str]:
    """What a plot draws, in order."""
    svg = part(text, f"chart-{figure}").find(".//*[@class='plot-svg']")
    assert svg is not None
    return [str(mark.get("class")).removeprefix("mark ") for mark in svg.findall(".//g")]


def test_the_answer_comes_first_with_its_confidence():
    said = words(body(page_text(SETTINGS_STUDY)).find(".//header"))
    assert said.startswith(
        "loadstone capacity: study 20261127-120000-aaaa proved 2 replicas with 0.75 CPU and 512m of memory"
    )
    assert "95 % interval: 26 to 39 %" in said


def test_the_first_sentence_stands_alone_and_the_rest_follows():
    head = body(page_text(SETTINGS_STUDY)).find(".//header")
    assert head is not None
    first, rest, *_ = (words(each) for each in head.findall("p")[1:])
    assert first.endswith("at most 1 % failures), for a price of 0.07 an hour.")
    assert rest.startswith("They held in 3 of 3 trials, at 148 requests/s. With 0.5 CPU each they do not hold")
    assert f"{first} {rest}" == answer_text(SETTINGS_STUDY)


def test_options_are_quoted_as_a_shell_takes_them_and_secrets_are_masked():
    study = settings_study(words=("--apply", "./limits.sh --region eu", "--host", "http://user:hunter2@h/"))
    said = words(part(page_text(study), "identity"))
    assert "--apply './limits.sh --region eu' --host" in said
    assert "hunter2" not in said


def test_the_configuration_names_the_target_and_when_it_began():
    said = words(part(page_text(SETTINGS_STUDY), "identity"))
    assert "started 2026-11-27 12:00:00 UTC" in said
    assert "limits of service target of a compose project" in said


def test_the_legends_show_what_they_explain():
    text = page_text(SETTINGS_STUDY)
    for name, kinds in (("map", ["answer"]), ("chart-price", ["steps"]), ("chart-latency", ["answer", "limit-line"])):
        drawn = [each.get("class") for each in part(text, name).findall(".//*[@class='legend']//*[@class]")]
        assert [each for each in drawn if each in {"answer", "steps", "limit-line"}] == kinds


def test_columns_in_which_nothing_is_known_are_left_out():
    bare = tuple(replace(each, throttled_pct=None, read_back="") for each in SETTINGS_STUDY.trials)
    text = page_text(settings_study(trials=bare))
    for name in ("evidence", "trials"):
        assert "throttled" in words(part(page_text(SETTINGS_STUDY), name).find(".//thead"))
        assert "throttled" not in words(part(text, name).find(".//thead"))
    assert "read back" not in words(part(text, "trials"))


def test_a_page_without_an_answer_says_how_to_go_on_in_its_folder(tmp_path: Path):
    folder = tmp_path / "studies" / "s"
    folder.mkdir(parents=True)
    assert f"--results {tmp_path}`" in write_page(folder, settings_study(answer=None)).read_text()


@pytest.mark.parametrize(
    ("study", "badge"),
    [
        (SETTINGS_STUDY, "proved"),
        (USERS_STUDY, "proved"),
        (settings_study(answer=None), "in progress"),
        (settings_study(answer=SettingAnswerRecord(setting=None, proved=True)), "nothing that may be tried holds"),
        (settings_study(answer=SettingAnswerRecord(setting=None, proved=False, open="no time")), "not proved"),
        (replace(USERS_STUDY, answer=UsersAnswerRecord(holds=None, not_held=1, proved=True)), "nothing that may be"),
    ],
)
def test_the_badge_and_the_title_say_how_it_ended(study, badge: str):
    text = page_text(study)
    assert words(body(text).find(".//header/p")).startswith(badge)
    assert f"<title>{badge}" in text


def test_every_trial_is_a_row_and_links_to_its_report():
    rows = part(page_text(SETTINGS_STUDY), "trials").findall(".//tbody/tr")
    assert [row.find(".//a").get("href") for row in rows] == [  # type: ignore[union-attr]
        f"../../{each.run}/report.html" for each in SETTINGS_STUDY.trials
    ]
    assert "does not hold" in words(rows[5])
    assert "0.5 512m 2 150" in words(rows[5])


def test_a_link_leads_to_a_run_of_the_same_results_whatever_it_is_called():
    study = settings_study(trials=(trial(1, BEST, 300, run="../x?y#z"),))
    anchor = part(page_text(study), "trials").find(".//a")
    assert anchor is not None
    assert anchor.get("href") == "../../..%2Fx%3Fy%23z/report.html"


def test_a_trial_that_did_not_start_has_no_link():
    rows = part(page_text(settings_study(trials=(trial(1, BEST, None, run=""),))), "trials").findall(".//tbody/tr")
    assert rows[0].find(".//a") is None
    assert "it did not start" in words(rows[0])


def test_the_evidence_is_that_of_the_answer_and_its_neighbours():
    rows = part(page_text(SETTINGS_STUDY), "evidence").findall(".//tbody/tr")
    assert [words(row)[:45] for row in rows] == [
        "2 replicas of 0.75 CPU and 512m holds \N{EN DASH} \N{EN DASH} \N{EN DASH} p",
        "2 replicas of 0.5 CPU and 512m does not hold ",
        "2 replicas of 0.75 CPU and 256m does not hold",
    ]
    assert "p95<500ms held with 33 % to spare" in words(rows[0])
    assert QUOTA.evidence in words(rows[1])
    assert QUOTA.cure in words(rows[1])


def test_where_nothing_holds_the_evidence_is_that_of_all_that_was_tried():
    study = settings_study(
        trials=(trial(1, TOP, 900, bottleneck=QUOTA),), answer=SettingAnswerRecord(setting=None, proved=True)
    )
    (row,) = part(page_text(study), "evidence").findall(".//tbody/tr")
    assert words(row).startswith("2 replicas of 1 CPU and 768m does not hold cpu quota")


def test_of_users_the_evidence_is_that_of_those_that_hold_and_those_that_do_not():
    rows = part(page_text(USERS_STUDY), "evidence").findall(".//tbody/tr")
    assert [words(row).split(" users ")[0] for row in rows] == ["140", "200"]


def test_settings_are_what_most_of_their_trials_say():
    study = settings_study(
        answer=None,
        trials=(
            *(trial(1, TOP, 300), trial(2, TOP, 300), trial(3, TOP, 900)),
            *(trial(4, BEST, 300), trial(5, BEST, 900)),
            *(trial(6, LESS_CPU, 900), trial(7, LESS_MEMORY, None), trial(8, LESS_MEMORY, 300)),
            trial(9, Setting(0.25, 256 * MIB, 1), None, outcome="invalid", broke=False),
        ),
    )
    assert {each.setting: (each.state, each.held, each.valid, each.invalid) for each in tried_settings(study)} == {
        Setting(0.25, 256 * MIB, 1): ("invalid", 0, 0, 1),
        TOP: ("holds", 2, 3, 0),
        BEST: ("undecided", 1, 2, 0),
        LESS_CPU: ("fails", 0, 1, 0),
        LESS_MEMORY: ("breaks", 1, 2, 0),
    }


def test_the_answer_decides_what_its_neighbours_are_drawn_as():
    answer = SETTINGS_STUDY.answer
    assert isinstance(answer, SettingAnswerRecord)
    undecided = replace(answer, smaller=(replace(answer.smaller[0], finding="undecided"),))
    states = {each.setting: each.state for each in tried_settings(settings_study(answer=undecided))}
    assert (states[BEST], states[LESS_CPU]) == ("holds", "undecided")


def test_the_map_has_a_cell_for_each_setting_and_what_follows_from_those_that_were_tried():
    text = page_text(SETTINGS_STUDY)
    cells = [
        str(cell.get("class"))
        for cell in part(text, "chart-map-2").findall(".//rect")
        if "cell" in cell.get("class", "")
    ]
    # By column, from 0.25 to 1 CPU; in each from 256m to 768m.
    assert cells == [
        *("cell implied-fails", "cell implied-fails", "cell"),
        *("cell implied-fails", "cell fails", "cell"),
        *("cell breaks", "cell holds", "cell implied-holds"),
        *("cell", "cell implied-holds", "cell holds"),
    ]
    assert body(text).find(".//*[@id='chart-map-1']") is None


def test_every_trial_is_a_mark_of_the_price_and_of_the_latency_plot():
    text = page_text(SETTINGS_STUDY)
    assert marks(text, "price") == ["holds"] * 4 + ["invalid", "fails", "fails", "breaks"]
    assert marks(text, "latency") == ["holds"] * 4 + ["fails", "fails"]
    assert marks(page_text(USERS_STUDY), "latency") == ["holds", "holds", "fails", "holds"]


def test_the_price_is_that_of_all_replicas():
    assert isinstance(SETTINGS_STUDY.question, SettingQuestion)
    assert cost_of(SETTINGS_STUDY.question, BEST) == pytest.approx(2 * (0.75 * 0.04 + 0.5 * 0.01))


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3, 8], [0, 2, 4, 6, 8]),
        ([0.1, 0.3], [0, 0.1, 0.2, 0.3]),
        ([10, 100], [10, 20, 50, 100]),
        ([1, 10_000], [1, 10, 100, 1000, 10_000]),
        ([0, 1000], [0, 250, 500, 750, 1000]),
        ([0], [0, 0.25, 0.5, 0.75, 1]),
        ([], [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_axes_have_few_round_ticks_and_are_logarithmic_over_a_wide_range(values: list[float], ticks: list[float]):
    assert Axis(title="", values=values).ticks() == pytest.approx(ticks)


def test_an_axis_of_numbers_of_trials_has_whole_ticks():
    assert Axis(title="", values=[1, 2], whole=True, may_be_log=False).ticks() == [0, 1, 2]


@pytest.mark.parametrize(
    "study",
    [
        replace(SETTINGS_STUDY, id=EVIL, host=EVIL, rig=EVIL, scenario=(EVIL,), words=(EVIL,)),
        settings_study(trials=(trial(1, BEST, 900, run=EVIL, reasons=(EVIL,), read_back=EVIL),)),
        settings_study(trials=(trial(1, LESS_CPU, 900, bottleneck=replace(QUOTA, evidence=EVIL, cure=EVIL)),)),
        settings_study(answer=SettingAnswerRecord(setting=None, proved=False, open=EVIL)),
        replace(USERS_STUDY, objectives=(f"p95[{EVIL}]<500ms",)),
    ],
)
def test_names_and_texts_stay_texts(study):
    text = page_text(study)
    assert "<img" not in text
    assert "<script" not in text
    assert "window.hit=1" in words(body(text))
    assert "script-src" not in text
    assert "default-src 'none'" in text


def test_a_study_without_a_trial_is_a_page_too():
    text = page_text(settings_study(trials=(), answer=None, calibration=None))
    assert "No trial has ended yet." in words(body(text))
    assert body(text).find(".//*[@id='map']") is None


def test_prices_of_nothing_and_latencies_of_nobody_are_drawn():
    assert isinstance(SETTINGS_STUDY.question, SettingQuestion)
    free = replace(SETTINGS_STUDY.question, price_cpu=0.0, price_memory=0.0)
    text = page_text(settings_study(question=free, trials=(trial(1, BEST, None),)))
    assert marks(text, "price") == ["breaks"]
    assert marks(text, "latency") == []


def test_the_calibration_says_what_share_of_the_ceiling_was_used():
    said = words(part(page_text(SETTINGS_STUDY), "generator"))
    assert "2,000.0 requests/s, at which its busiest worker would use a whole core" in said
    assert "148.2 requests/s, 7 % of that" in said
    assert "was not calibrated" in words(part(page_text(USERS_STUDY), "generator"))


def test_a_calibration_that_is_inconclusive_states_no_ceiling():
    assert SETTINGS_STUDY.calibration is not None
    found = replace(SETTINGS_STUDY.calibration, ceiling_rps=None, doubts=("the master was lost",))
    said = words(part(page_text(settings_study(calibration=found)), "generator"))
    assert "not measured, because the run is inconclusive: the master was lost" in said
    assert "% of that" not in said


def test_the_file_is_replaced(tmp_path: Path):
    write_page(tmp_path, settings_study(answer=None))
    assert write_page(tmp_path, SETTINGS_STUDY).read_text() == page_text(SETTINGS_STUDY)
    assert [path.name for path in tmp_path.iterdir()] == ["capacity.html"]
