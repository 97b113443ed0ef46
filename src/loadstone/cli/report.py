"""Write the HTML report of a run again: one file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import resolve_run
from loadstone.cli.options import add_results, add_run
from loadstone.errors import ExitCode
from loadstone.report.html_report import make_report

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "run")
    parser.add_argument("--baseline", metavar="RUN", help="show the change from this run")
    parser.add_argument("--allow-unlike", action="store_true", help="even if scenario, load or limits differ")
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write the report and print its path."""
    results = Path(arguments.results)
    folder = resolve_run(results, arguments.run)
    baseline = resolve_run(results, arguments.baseline) if arguments.baseline else None
    path = make_report(folder, baseline, allow_unlike=arguments.allow_unlike)
    print(path)  # noqa: T201  (the answer)
    return ExitCode.PASS
