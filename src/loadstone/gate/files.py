"""Reports as files for CI: JUnit XML and Markdown, and the options that ask for them."""

from __future__ import annotations

import html
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from xml.etree import ElementTree as ET

from loadstone.domain.objective import Outcome
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping

    from loadstone.gate.verdict_report import Check, VerdictReport

__all__ = [
    "add_gate_options",
    "check_files",
    "check_gate_options",
    "junit_xml",
    "markdown",
    "markdown_table",
    "markdown_text",
    "write_files",
    "write_gate_files",
    "xml_text",
]

Content = TypeVar("Content")


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--junit`` and ``--markdown``."""
    parser.add_argument("--junit", metavar="FILE", help="write objectives and verdict to this file as JUnit XML")
    parser.add_argument(
        "--markdown", metavar="FILE", help="write verdict, objectives and figures to this file as Markdown"
    )


def check_gate_options(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` when a file that is named cannot be written: before a run, not after it."""
    check_files(arguments, _WRITERS)


def check_files(arguments: argparse.Namespace, options: Iterable[str]) -> None:
    """The same for any options that name files."""
    for option in options:
        given = getattr(arguments, option)
        if given and (refusal := _refusal(Path(given))):
            raise UsageError(f"--{option} {given}: {refusal[0]}", hint=refusal[1])


def _refusal(file: Path) -> tuple[str, str] | None:
    """Why a file cannot be written, and what to do about it; None when nothing is known to prevent it."""
    folder, another = file.absolute().parent, "Name another file"
    if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises where a name is too long)
        reason = f"{file.parent} is no folder" if os.path.lexists(folder) else f"folder {file.parent} does not exist"
        return reason, "Create it, or name another file"
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        return error.strerror or str(error), another
    if mode is not None and (stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)):
        return f"it is a {'folder' if stat.S_ISDIR(mode) else 'socket'}", "Name a file"
    if not os.access(folder if mode is None else file, os.W_OK):
        return "you may not write " + (f"to folder {folder}" if mode is None else "this file"), another
    return None


def write_gate_files(arguments: argparse.Namespace, report: VerdictReport) -> None:
    """Write the files that the options name. Raises `PlatformError` when one cannot be written."""
    write_files(arguments, report, _WRITERS)


def write_files(
    arguments: argparse.Namespace, content: Content, writers: Mapping[str, Callable[[Content], str]]
) -> None:
    """The same for any options that name files, each with what turns the content into its text."""
    for option, text_of in writers.items():
        if given := getattr(arguments, option):
            try:
                Path(given).write_text(text_of(content), encoding="utf-8", errors="replace")
            except OSError as error:
                raise PlatformError(
                    f"--{option} {given} cannot be written: {error.strerror or error}",
                    hint="The archive is complete all the same",
                ) from error


def junit_xml(report: VerdictReport) -> str:
    """The report as JUnit XML: a missed check is a failure, an undecided one an error."""
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
    case.set("time", f"{report.seconds if check.seconds is None else check.seconds:.3f}")
    if check.ok is False:
        ET.SubElement(case, "failure", message=xml_text(check.reason), type="missed")
    elif check.ok is None:
        ET.SubElement(case, "error", message=xml_text(check.reason), type=INCONCLUSIVE)


_ROW_LIMIT: Final = 200


def markdown_text(report: VerdictReport) -> str:
    """The report as Markdown. Names and errors appear verbatim; they cannot become links, images, HTML or cells."""
    parts = [f"## {markdown(report.title)}: {report.verdict}\n"]
    if report.checks:
        rows = [[markdown(check.name), _result(check.ok), markdown(check.reason)] for check in report.checks]
        parts.append(markdown_table(("objective", "result", "reason"), rows))
    parts.append(markdown_table(report.header, [map(markdown, row) for row in report.rows[:_ROW_LIMIT]]))
    if len(report.rows) > _ROW_LIMIT:
        parts.append(f"{len(report.rows) - _ROW_LIMIT} more rows are left out.\n")
    parts += [f"- {markdown(note)}" for note in report.notes]
    return "\n".join(parts).rstrip() + "\n"


def _result(ok: bool | None) -> str:  # noqa: FBT001  (a result, not a switch)
    return f"**{Outcome.of(ok)}**" if ok is False else Outcome.of(ok)


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already."""
    titles = [*header]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+!|~:@-])")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(text: str) -> str:
    """Markdown that displays exactly this text, on one line: no link, no image, no HTML, no further table cell."""
    flat = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))


def xml_text(text: str) -> str:
    """The text with the characters that XML 1.0 forbids (production 2, "Char") replaced."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


_WRITERS: Final = {"junit": junit_xml, "markdown": markdown_text}
