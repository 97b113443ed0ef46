"""JUnit XML: one test case per objective, in the dialect that CI systems read (the Ant schema's core)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.gate.text import xml_text

if TYPE_CHECKING:
    from loadstone.gate.judged import Check, Judged

__all__ = ["junit_xml"]


def junit_xml(judged: Judged) -> str:
    """The document. A missed objective is a failure; what could not be told is an error."""
    suite = ET.Element("testsuite", name=xml_text(judged.title), tests=str(len(judged.checks)))
    suite.set("failures", str(sum(check.ok is False for check in judged.checks)))
    suite.set("errors", str(sum(check.ok is None for check in judged.checks)))
    suite.set("time", f"{judged.seconds:.3f}")
    for check in judged.checks:
        _add_case(suite, judged, check)
    notes = "\n".join([f"verdict: {judged.verdict}", *judged.notes])
    ET.SubElement(suite, "system-out").text = xml_text(notes)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ET.Element, judged: Judged, check: Check) -> None:
    case = ET.SubElement(suite, "testcase", name=xml_text(check.name), classname=xml_text(judged.title))
    case.set("time", f"{judged.seconds:.3f}")
    if check.ok is False:
        ET.SubElement(case, "failure", message=xml_text(check.reason), type="missed")
    elif check.ok is None:
        ET.SubElement(case, "error", message=xml_text(check.reason), type=INCONCLUSIVE)
