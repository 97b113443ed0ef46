"""What ``loadstone run`` writes for CI: JUnit XML and Markdown of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from loadstone.archive.closed_run import ClosedRun
from loadstone.gate.files import junit_xml, markdown_text
from loadstone.gate.verdict_report import report_of_run
from support.closed_runs import HOSTILE, MadeRun, names

if TYPE_CHECKING:
    from pathlib import Path


def report(tmp_path: Path, **made):
    return report_of_run(ClosedRun.open(MadeRun(**made).close(tmp_path)).record)


def cases(xml: str) -> dict[str, list[str]]:
    return {case.get("name", ""): [child.tag for child in case] for case in ET.fromstring(xml).iter("testcase")}


def test_a_missed_objective_is_a_failure_and_a_held_one_is_none(tmp_path: Path):
    found = cases(junit_xml(report(tmp_path, objectives=["p95<1ms", "failures<=50%"])))
    assert found == {"the measurement is sound": [], "p95<1ms": ["failure"], "failures<=50%": []}


def test_a_measurement_that_is_not_sound_is_an_error(tmp_path: Path):
    found = cases(junit_xml(report(tmp_path, rate=0)))
    assert found["the measurement is sound"] == ["error"]


def test_names_that_xml_cannot_hold_do_not_break_the_file(tmp_path: Path):
    xml = junit_xml(report(tmp_path, objectives=["p95[GET /\x00\x1b]<500ms"], names=[("GET", "/\x00\x1b")]))
    assert any("�" in name for name in cases(xml))


def test_markdown_holds_the_verdict_and_every_name_harmlessly(tmp_path: Path):
    text = markdown_text(report(tmp_path, names=[("GET", HOSTILE), ("GET", "![x](http://evil)")]))
    assert text.startswith("## loadstone run 20260920\\-120000\\-aaaa: pass")
    assert "<script" not in text
    assert "![x](" not in text


def test_a_long_table_keeps_the_totals_and_says_how_many_rows_it_leaves_out(tmp_path: Path):
    text = markdown_text(report(tmp_path, names=names(250), rate=250, seconds=5, usage=False))
    assert "| all requests | 1,250 |" in text
    assert "51 more rows are left out." in text
