"""Writing JUnit XML and Markdown where CI looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.errors import UsageError
from loadstone.gate.junit import junit_xml
from loadstone.gate.markdown import markdown_text

if TYPE_CHECKING:
    import argparse

    from loadstone.gate.judged import Judged

__all__ = ["add_gate_options", "check_gate_options", "write_gate_files"]

_WRITERS = {"junit": junit_xml, "markdown": markdown_text}


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser ``--junit`` and ``--markdown``."""
    parser.add_argument("--junit", metavar="FILE", help="write objectives and verdict there as JUnit XML")
    parser.add_argument("--markdown", metavar="FILE", help="write verdict, objectives and figures there as Markdown")


def check_gate_options(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` before anything starts when a file could not be written at the end."""
    for option in _WRITERS:
        if (given := getattr(arguments, option)) and not Path(given).absolute().parent.is_dir():
            raise UsageError(f"--{option} {given}: there is no folder {Path(given).parent}", hint="Make it first")


def write_gate_files(arguments: argparse.Namespace, judged: Judged) -> None:
    """Write the files that were asked for. Raises `UsageError` when one cannot be written."""
    for option, text_of in _WRITERS.items():
        if given := getattr(arguments, option):
            try:
                Path(given).write_text(text_of(judged), encoding="utf-8", errors="replace")
            except OSError as error:
                raise UsageError(f"--{option} {given} cannot be written: {error.strerror or error}") from error
