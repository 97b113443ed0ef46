"""Close a run from its journal, after a power cut or when no collector was running to close it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import resolve_run
from loadstone.archive.finalize.closing import recover_run
from loadstone.cli.options import add_results, add_run
from loadstone.report.html_report import make_report
from loadstone.report.terminal import print_summary

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "run")
    add_results(parser)
    parser.add_argument("--salvage", action="store_true", help="leave out the damaged parts of the journal")


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Close the run again and print its summary. The exit code is that of its verdict."""
    folder = resolve_run(Path(arguments.results), arguments.run)
    recover_run(folder, salvage=arguments.salvage)
    make_report(folder)
    return print_summary(folder)
