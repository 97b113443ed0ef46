"""A comparison in the terminal: the totals first, then every request name of which something differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadstone.gate.bootstrap import CONFIDENCE
from loadstone.gate.verdict_report import report_of_comparison

if TYPE_CHECKING:
    from loadstone.gate.compare import Change, Comparison

__all__ = ["print_comparison"]

_NARROWEST: Final = 110
_COLOURS: Final = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_RESULTS: Final = {True: ("held", "green"), False: ("missed", "red"), None: ("undecided", "yellow")}


def print_comparison(comparison: Comparison, console: Console | None = None) -> int:
    """Print it. Its exit code."""
    console = console or _console()
    console.print(_table(comparison))
    console.print(f"intervals hold the true change in {CONFIDENCE:.0%} of such comparisons", style="dim")
    for note in (*comparison.unlike, *comparison.doubts):
        console.print(Text(f"  note: {note}", style="dim"))
    for result in comparison.results:
        word, colour = _RESULTS[result.ok]
        console.print(Text.assemble(f"  {result.text}: ", (word, colour), f" ({result.reason})"))
    console.print(Text.assemble("verdict: ", (comparison.verdict, f"bold {_COLOURS[comparison.verdict]}")))
    return int(comparison.exit_code)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(_NARROWEST, console.width))


def _table(comparison: Comparison) -> Table:
    report = report_of_comparison(comparison)
    table = Table(title=f"base {comparison.base['id']}, run {comparison.run['id']}", title_justify="left")
    for at, name in enumerate(report.header):
        table.add_column(name, justify="left" if at in {0, 1, 6} else "right", overflow="fold")
    marked = {(change.method, change.name) for change in comparison.changes if change.differs}
    for change, row in zip(comparison.changes, report.rows, strict=True):
        if (change.method, change.name) in marked | {("", "")}:
            table.add_row(*map(Text, row), style=_style(change))
    return table


def _style(change: Change) -> str | None:
    if not change.differs or change.change is None:
        return None
    better_when_more = change.metric == "rps"
    return "green" if (change.change > 0) == better_when_more else "red"
