"""What ``loadstone verify`` prints: a table of the files of a run, or of the runs of a folder, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from loadstone.report.console import make_console
from loadstone.report.tables import new_table
from loadstone.report.terminal import BETTER, WORSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from loadstone.archive.verify import FileCheck, RunCheck

__all__ = ["print_check", "print_checks"]


def print_check(check: RunCheck, console: Console | None = None) -> None:
    """Print every file of one run, and the cure of what is damaged."""
    console = console or make_console()
    table = new_table(console, Text(f"run {check.folder.run}", "table.title"))
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for file in check.files:
        table.add_row(Text(file.name), "-" if file.bytes is None else f"{file.bytes:,}", _state(file.problem, check))
    console.print(table)
    _print_rest(check, console)


def print_checks(checks: Sequence[RunCheck], console: Console | None = None) -> None:
    """Print one line for each of several runs, and everything that is damaged."""
    console = console or make_console()
    table = new_table(console)
    table.add_column("run", overflow="fold")
    for name in ("files", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for check in checks:
        damaged = [f"{file.name} {file.problem}" for file in check.damaged]
        size = sum(file.bytes or 0 for file in check.files)
        table.add_row(Text(check.folder.run), str(len(check.files)), f"{size:,}", _state("; ".join(damaged), check))
    console.print(table)
    for check in checks:
        if check.damaged or check.notes:
            _print_rest(check, console)


def _state(problem: str, check: RunCheck) -> Text:
    return Text(problem, WORSE) if problem else Text(_well(check), BETTER)


def _well(check: RunCheck) -> str:
    return "whole" if check.has_digests else "readable"


def _print_rest(check: RunCheck, console: Console) -> None:
    run = check.folder.run
    for note in check.notes:
        console.print(Text(f"run {run}: note: {note}", "dim"), soft_wrap=True)
    damaged = check.damaged
    if not damaged:
        console.print(Text(f"run {run}: all {_files(check.files)} are {_well(check)}"))
        return
    console.print(Text(f"run {run}: {len(damaged)} of {_files(check.files)} damaged", f"bold {WORSE}"))
    for cure in check.cures:
        console.print(Text(f"  {cure}"), soft_wrap=True)  # it may hold a command


def _files(files: Sequence[FileCheck]) -> str:
    return f"{len(files)} file{'' if len(files) == 1 else 's'}"
