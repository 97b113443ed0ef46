"""List the runs of a results folder: id, start, scenario, users, requests/s, failures, p95 and verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.cli.options import add_results
from loadstone.errors import ExitCode
from loadstone.report.terminal import print_runs

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--newest", type=int, metavar="N", help="show only the newest N (default: all)")
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print the table. The exit code is 0 even if there is no run."""
    print_runs(Path(arguments.results), arguments.newest)
    return ExitCode.PASS
