"""Show the results of a run: requests by name, objectives, verdict and ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import resolve_run
from loadstone.cli.options import add_results, add_run
from loadstone.errors import ExitCode
from loadstone.report.terminal import print_summary

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "run")
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print the summary. The exit code is 0 whatever the verdict of the run was."""
    print_summary(resolve_run(Path(arguments.results), arguments.run))
    return ExitCode.PASS
