"""Verbs that read or rewrite archived runs.

They are ``runs``, ``show``, ``compare``, ``export``, ``report``, ``verify`` and ``recover``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import LATEST, ClosedRun, list_runs
from loadstone.archive.finalize.closing import recover_run, salvage_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.verify import verify_run
from loadstone.cli.common import RUN_HELP, Verb, add_results, add_run, named_run, recover_command, say
from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.gate.change import parse_change_objectives
from loadstone.gate.compare import compare_runs
from loadstone.gate.files import add_gate_options, check_gate_options, write_gate_files
from loadstone.gate.verdict_report import report_of_comparison
from loadstone.report.console import tell_terminal
from loadstone.report.export import FormatName, What, default_target, export, export_file
from loadstone.report.html_report import make_report
from loadstone.report.terminal import print_comparison, print_runs, print_summary
from loadstone.report.verification import print_check, print_checks

if TYPE_CHECKING:
    import argparse

    from loadstone.cli.kept_streams import Recovered

__all__ = ["COMPARE", "EXPORT", "RECOVER", "REPORT", "RUNS", "SHOW", "VERIFY"]

_STANDARD_OUTPUT: Final = "-"


def _configure_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--newest", type=int, metavar="N", help="show only the newest N (default: all)")
    add_results(parser)


def _runs(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    print_runs(Path(arguments.results), arguments.newest)
    return ExitCode.PASS


def _configure_show(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_results(parser)


def _show(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print the summary. The exit code says whether it could be shown, not what the verdict was."""
    print_summary(named_run(arguments))
    return ExitCode.PASS


def _configure_compare(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--allow-unlike", action="store_true", help="compare even if scenario, users or limits of the runs differ"
    )
    add_gate_options(parser)
    add_results(parser)


def _compare(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    check_gate_options(arguments)
    objectives = parse_change_objectives(arguments.objective)
    base, run = (ClosedRun.open(named_run(arguments, name)) for name in ("base", "run"))
    comparison = compare_runs(base, run, objectives, allow_unlike=arguments.allow_unlike)
    code = print_comparison(comparison)
    write_gate_files(arguments, report_of_comparison(comparison))
    return code


def _configure_export(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--format", choices=[*FormatName], default=FormatName.CSV, help="(default: csv)")
    parser.add_argument("--what", choices=[*What], default=What.REQUESTS, help="table to export (default: requests)")
    parser.add_argument(
        "--output", "-o", metavar="FILE", help="file to write, - for standard output (default: ./RUN-WHAT.FORMAT)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    add_results(parser)


def _export(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Export one table; progress goes to standard error."""
    folder = named_run(arguments)
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


def _configure_report(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--baseline", metavar="RUN", help=f"show the difference to this run: {RUN_HELP}")
    parser.add_argument(
        "--allow-unlike", action="store_true", help="compare even if scenario, users or limits of the runs differ"
    )
    add_results(parser)


def _report(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write the report and print its path."""
    folder = named_run(arguments)
    baseline = named_run(arguments, "baseline") if arguments.baseline else None
    say(str(make_report(folder, baseline, allow_unlike=arguments.allow_unlike)))
    return ExitCode.PASS


def _configure_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help=RUN_HELP)
    parser.add_argument("--all", action="store_true", help="verify every run in the results folder")
    add_results(parser)


def _verify(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Verify one run or all; 0 when all is well, 1 when something is damaged or missing."""
    if arguments.all == bool(arguments.run):
        raise UsageError("verify takes a run or --all", hint="`loadstone verify --all` verifies every run")
    if arguments.all:
        checks = [verify_run(folder) for folder in list_runs(Path(arguments.results))]
        print_checks(checks)
    else:
        checks = [verify_run(named_run(arguments))]
        print_check(checks[0])
    return ExitCode.FAIL if any(check.damaged for check in checks) else ExitCode.PASS


def _configure_recover(parser: argparse.ArgumentParser) -> None:
    add_run(parser, optional=True)
    add_results(parser)
    parser.add_argument(
        "--stream",
        metavar="DIR",
        help="kept stream to read, where it belonged to another results folder (default: all that are kept for this)",
    )
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="write what a damaged journal still holds to a new folder RUN-salvaged, and say what is missing",
    )


def _recover(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Read what was kept, recover the run if one is named, and show it; the exit code is its verdict's.

    Salvaging reads no stream: nothing can be put into a damaged journal.
    """
    from loadstone.cli.kept_streams import Recovered, read_kept_streams  # noqa: PLC0415  (no other verb here needs the collector)

    if arguments.salvage and arguments.run is None:
        raise UsageError("--salvage takes the run whose journal is damaged", hint="Name it: recover RUN --salvage")
    if arguments.salvage and arguments.stream:
        raise UsageError("--salvage reads no stream", hint="Give --stream to recover without it")
    wanted = _beginning(arguments.run)
    kept = Recovered() if arguments.salvage else read_kept_streams(Path(arguments.results), arguments.stream, wanted)
    if arguments.run is None:
        return _show_recovered(kept, Path(arguments.results))
    named = _named_after(kept, arguments)
    folder = (salvage_run(named) if arguments.salvage else recover_run(named)).folder
    make_report(folder)
    return print_summary(folder)


def _named_after(kept: Recovered, arguments: argparse.Namespace) -> RunFolder:
    try:
        return named_run(arguments)
    except UsageError as error:
        if kept.is_left:
            raise PlatformError(error.message, hint="It may be in the stream that could not be read") from error
        raise


def _beginning(run: str | None) -> str | None:
    """What the id of a run begins with that is named so; nothing in particular if it is the newest."""
    return "" if run == LATEST else run and Path(run).name


def _show_recovered(kept: Recovered, results: Path) -> int:
    """Show the runs that kept streams held; the exit code is the gravest one."""
    if not kept.closed and not kept.is_left:
        say(f"nothing is kept for the runs in {results}; `{recover_command(results)} RUN` closes one from its journal")
    codes = [print_summary(RunFolder(results / run)) for run in kept.closed]
    return ExitCode.gravest([*codes, *([ExitCode.PLATFORM] if kept.is_left else [])])


RUNS: Final = Verb(
    name="runs",
    help="List the runs in a results folder with scenario, users, requests/s, failures, p95 and verdict.",
    configure=_configure_runs,
    execute=_runs,
)
SHOW: Final = Verb(
    name="show",
    help="Show one run: requests by name, objectives, verdict and ledger.",
    configure=_configure_show,
    execute=_show,
)
COMPARE: Final = Verb(
    name="compare",
    help="Compare two runs, with a confidence interval for each difference, and judge the change.",
    notes="Without objectives the exit code is 0; with them it is 0 (pass), 1 (fail) or 3 (inconclusive).",
    configure=_configure_compare,
    execute=_compare,
)
EXPORT: Final = Verb(
    name="export",
    help="Export a table of a run as CSV, Parquet or JSON lines.",
    configure=_configure_export,
    execute=_export,
)
REPORT: Final = Verb(
    name="report",
    help="Write the HTML report of a run again, as one file that opens offline.",
    configure=_configure_report,
    execute=_report,
)
VERIFY: Final = Verb(
    name="verify",
    help="Check every file of a run against its digest, its checksums, and the counts in run.json.",
    notes="The exit code is 0 when all files are whole, and 1 when one is damaged or missing.",
    configure=_configure_verify,
    execute=_verify,
)
RECOVER: Final = Verb(
    name="recover",
    help="Archive what a crash, a power cut or a full disk has left: a run's journal, and streams that were kept.",
    notes="Without RUN it reads what is kept for the runs of a results folder, and closes them.",
    configure=_configure_recover,
    execute=_recover,
)
