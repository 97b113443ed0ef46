"""Show what one run came to: requests by name, objectives, verdict and ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import load_run, resolve_run
from loadstone.cli.options import add_results, add_run
from loadstone.errors import ExitCode
from loadstone.report.summary import print_summary

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "run")
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print the summary. The exit code says that it could be shown, not what the verdict was."""
    folder = resolve_run(Path(arguments.results), arguments.run)
    load_run(folder)
    print_summary(folder)
    return ExitCode.PASS
