"""Write a table of a run as CSV, Parquet or JSON lines, whatever its size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import resolve_run
from loadstone.cli.options import add_results, add_run
from loadstone.errors import ExitCode
from loadstone.report.export import FormatName, What, default_target, export, export_file, tell_terminal

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]

_STANDARD_OUTPUT: Final = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "run")
    parser.add_argument("--format", choices=[*FormatName], default=FormatName.CSV, help="(default: csv)")
    parser.add_argument("--what", choices=[*What], default=What.REQUESTS, help="the table (default: requests)")
    parser.add_argument("--output", "-o", metavar="FILE", help="(default: RUN-WHAT.FORMAT here; -: standard output)")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Export one table; progress goes to standard error."""
    folder = resolve_run(Path(arguments.results), arguments.run)
    what, form = What(arguments.what), FormatName(arguments.format)
    if arguments.output == _STANDARD_OUTPUT:
        done = export(folder, what, form, sys.stdout.buffer, tell_terminal)
        where = "standard output"
    else:
        target = Path(arguments.output) if arguments.output else default_target(folder, what, form, Path())
        done = export_file(folder, what, form, target, tell_terminal, force=arguments.force)
        where = str(target)
    tell_terminal(f"wrote {done.rows:,} rows of {what} to {where}, {done.rows_per_s:,.0f} rows/s")
    return ExitCode.PASS
