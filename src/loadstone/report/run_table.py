"""The runs of a results folder as a table in the terminal: one line for each, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadstone.archive.closed_run import list_runs, load_run
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["judged", "print_runs", "scenario_name"]

_COLUMNS: Final = ("run", "when", "scenario", "users", "req/s", "failures", "p95 ms", "verdict")
_NUMBERS: Final = frozenset({"users", "req/s", "failures", "p95 ms"})
_COLOURS: Final = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_NARROWEST: Final = 120


def print_runs(results: Path, newest: int | None = None, console: Console | None = None) -> int:
    """Print the ``newest`` runs (None: all). How many there are in all."""
    console = console or _console()
    runs = list_runs(results)
    if not runs:
        console.print(f"No run in {results} yet. Start one with `loadstone run`.")
        return 0
    console.print(_table(runs[-newest:] if newest else runs))
    return len(runs)


def judged(run: dict[str, Any]) -> dict[str, Any]:
    """The total of what a run.json says about the window, or about the whole run when no window ever opened."""
    summary = run["summary"]
    total: dict[str, Any] = summary["window" if run["window"]["opened"] else "run"]["total"]
    return total


def scenario_name(run: dict[str, Any]) -> str:
    """The files of the scenario, as far as the run knows them."""
    scenario = run.get("scenario")
    files = scenario.get("files", []) if isinstance(scenario, dict) else []
    return ", ".join(map(str, files)) or "-"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(_NARROWEST, console.width))


def _table(runs: list[RunFolder]) -> Table:
    table = Table()
    for name in _COLUMNS:
        number = name in _NUMBERS
        table.add_column(name, justify="right" if number else "left", no_wrap=number or name == "run")
    for folder in runs:
        table.add_row(*_row(folder))
    return table


def _row(folder: RunFolder) -> list[Text]:
    try:
        run = load_run(folder)
    except ArchiveError:
        state = "damaged" if folder.is_closed else "open"
        return [Text(folder.run), *(Text("-") for _ in _COLUMNS[2:]), Text(state, "dim")]
    total = judged(run)
    verdict = str(run["verdict"])
    return [
        Text(folder.run),
        Text(str(run["started_at"] or "-")[:19].replace("T", " ")),
        Text(scenario_name(run)),
        Text(_number(run["users"], ",d")),
        Text(_number(total["rps"], ",.1f")),
        Text(_number(total["failures_pct"], ".3g") + " %"),
        Text(_number(total["p95_ms"], ",.1f")),
        Text(verdict, _COLOURS.get(verdict, "")),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
