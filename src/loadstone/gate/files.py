"""Writing JUnit XML and Markdown where CI looks for them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from loadstone.domain.objective import Outcome
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadstone.gate.verdict_report import Check, VerdictReport

__all__ = [
    "add_gate_options",
    "check_gate_options",
    "junit_xml",
    "markdown",
    "markdown_text",
    "write_gate_files",
    "xml_text",
]


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser ``--junit`` and ``--markdown``."""
    parser.add_argument("--junit", metavar="FILE", help="write objectives and verdict there as JUnit XML")
    parser.add_argument("--markdown", metavar="FILE", help="write verdict, objectives and figures there as Markdown")


def check_gate_options(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` before anything starts when a file could not be written at the end."""
    for option in _WRITERS:
        if (given := getattr(arguments, option)) and not Path(given).absolute().parent.is_dir():
            raise UsageError(f"--{option} {given}: there is no folder {Path(given).parent}", hint="Make it first")


def write_gate_files(arguments: argparse.Namespace, report: VerdictReport) -> None:
    """Write the files that were asked for. Raises `UsageError` when one cannot be written."""
    for option, text_of in _WRITERS.items():
        if given := getattr(arguments, option):
            try:
                Path(given).write_text(text_of(report), encoding="utf-8", errors="replace")
            except OSError as error:
                raise UsageError(f"--{option} {given} cannot be written: {error.strerror or error}") from error


def junit_xml(report: VerdictReport) -> str:
    """The document. A missed objective is a failure; what could not be told is an error."""
    suite = ET.Element("testsuite", name=xml_text(report.title), tests=str(len(report.checks)))
    suite.set("failures", str(sum(check.ok is False for check in report.checks)))
    suite.set("errors", str(sum(check.ok is None for check in report.checks)))
    suite.set("time", f"{report.seconds:.3f}")
    for check in report.checks:
        _add_case(suite, report, check)
    notes = "\n".join([f"verdict: {report.verdict}", *report.notes])
    ET.SubElement(suite, "system-out").text = xml_text(notes)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ET.Element, report: VerdictReport, check: Check) -> None:
    case = ET.SubElement(suite, "testcase", name=xml_text(check.name), classname=xml_text(report.title))
    case.set("time", f"{report.seconds:.3f}")
    if check.ok is False:
        ET.SubElement(case, "failure", message=xml_text(check.reason), type="missed")
    elif check.ok is None:
        ET.SubElement(case, "error", message=xml_text(check.reason), type=INCONCLUSIVE)


_WORDS: Final = {True: Outcome.HELD, False: f"**{Outcome.MISSED}**", None: Outcome.UNDECIDED}
_MOST_ROWS: Final = 200


def markdown_text(report: VerdictReport) -> str:
    """The text. Names and error texts show as they are and cannot become links, images, HTML or table cells."""
    parts = [f"## {markdown(report.title)}: {report.verdict}\n"]
    if report.checks:
        rows = [[check.name, _WORDS[check.ok], check.reason] for check in report.checks]
        parts.append(_table(("objective", "result", "why"), rows, plain=1))
    parts.append(_table(report.header, report.rows[-_MOST_ROWS:]))
    if len(report.rows) > _MOST_ROWS:
        parts.append(f"{len(report.rows) - _MOST_ROWS} more rows are left out.\n")
    parts += [f"- {markdown(note)}" for note in report.notes]
    return "\n".join(parts).rstrip() + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], plain: int | None = None) -> str:
    """A table; the column ``plain`` holds Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for row in rows:
        cells = [cell if at == plain else markdown(cell) for at, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+!|~:@-])")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(text: str) -> str:
    """The text on one line as Markdown that shows exactly it: no link, no image, no HTML, no table cell."""
    flat = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))


def xml_text(text: str) -> str:
    """The text without the characters that XML 1.0 cannot hold (production 2, "Char")."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


_WRITERS: Final = {"junit": junit_xml, "markdown": markdown_text}
