"""Compare two runs: every change with its confidence interval, judged by objectives on the change.

Without objectives the exit code is 0 whatever differs; with them it is 0 (held), 1 (missed) or 3 (undecided).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun, resolve_run
from loadstone.cli.options import add_results, add_run
from loadstone.gate.change import parse_change_objectives
from loadstone.gate.compare import compare_runs
from loadstone.gate.files import add_gate_options, check_gate_options, write_gate_files
from loadstone.gate.verdict_report import report_of_comparison
from loadstone.report.terminal import print_comparison

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_run(parser, "base")
    add_run(parser, "run")
    parser.add_argument(
        "--objective",
        action="extend",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a limit on the change, such as 'p95<=+5%%', 'rps>=-2%%' or 'failures<=+0.1pp' (repeatable)",
    )
    parser.add_argument("--allow-unlike", action="store_true", help="even if scenario, load or limits differ")
    add_gate_options(parser)
    add_results(parser)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Compare and print. The exit code is that of the verdict."""
    check_gate_options(arguments)
    objectives = parse_change_objectives(arguments.objective)
    folders = [resolve_run(Path(arguments.results), text) for text in (arguments.base, arguments.run)]
    base, run = map(ClosedRun.open, folders)
    comparison = compare_runs(base, run, objectives, allow_unlike=arguments.allow_unlike)
    write_gate_files(arguments, report_of_comparison(comparison))
    return print_comparison(comparison)
