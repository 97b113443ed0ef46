"""What a run came to, as a table in the terminal: requests by name, objectives, verdict and where everything is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from loadstone.archive.folder import RunFolder

__all__ = ["print_summary"]

_COLOURS: Final = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_NARROWEST: Final = 100
"""Columns that the table takes where the width is not known, as in a log."""


def print_summary(folder: RunFolder, console: Console | None = None) -> int:
    """Print the summary of a closed run. Its exit code."""
    console = console or _console()
    run = json.loads(folder.run_json.read_text())
    console.print(_requests(run))
    if run["objectives"]:
        console.print(_objectives(run))
    console.print(_verdict(run))
    for reason in run["reasons"]:
        console.print(Text(f"  {reason}"))
    for notice in run["notices"]:
        console.print(Text(f"  note: {notice}", style="dim"))
    console.print(Text(_kept(run), style="dim"))
    console.print(Text(f"Everything of this run is in {folder.path}"), soft_wrap=True)
    return int(run["exit_code"])


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(_NARROWEST, console.width))


def _requests(run: dict[str, Any]) -> Table:
    whole = run["summary"]["run"]
    # names and addresses go in as Text: as plain strings their brackets would be taken for formatting
    title = Text(f"run {run['id']}: {run['users']} users on {run['host']}", "table.title")
    table = Table(title=title, title_justify="left")
    table.add_column("request", overflow="fold")
    for name in ("requests", "failures", "req/s", "mean ms", "p50", "p95", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in whole["names"]:
        table.add_row(Text(f"{row['method']} {row['name']}".strip()), *_figures(row))
    table.add_row("all", *_figures(whole["total"]), style="bold")
    return table


def _figures(row: dict[str, Any]) -> list[str]:
    share = f" ({row['failures_pct']:.1f}%)" if row["failures"] else ""
    return [
        f"{row['requests']:,}",
        f"{row['failures']:,}{share}",
        "-" if row["rps"] is None else f"{row['rps']:,.1f}",
        *(_ms(row[name]) for name in ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")),
    ]


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004  (a second)


def _objectives(run: dict[str, Any]) -> Table:
    table = Table(title="objectives", title_justify="left")
    for name in ("objective", "measured", "result"):
        table.add_column(name)
    words = {True: Text("held", "green"), False: Text("missed", "red"), None: Text("not measured", "yellow")}
    for result in run["objectives"]:
        value = "-" if result["value"] is None else f"{result['value']:,.4g} {result['unit'] or ''}".strip()
        table.add_row(Text(result["text"]), value, words[result["ok"]])
    return table


def _verdict(run: dict[str, Any]) -> Text:
    return Text.assemble("verdict: ", (run["verdict"], f"bold {_COLOURS[run['verdict']]}"))


def _kept(run: dict[str, Any]) -> str:
    ledger = run["ledgers"]["archive"]
    return (
        f"{ledger['produced']:,} requests produced, {ledger['stored']:,} stored, {ledger['dropped']:,} dropped, "
        f"{ledger['unknown']:,} unknown; {run['aborted']:,} cut off in flight"
    )
