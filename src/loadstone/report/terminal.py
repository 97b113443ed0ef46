"""What people read in the terminal: the runs of a folder, the summary of a run, and the comparison of two.

All of them share one console, one way to write numbers, and one style for each verdict and result.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from loadstone.archive.closed_run import ClosedRun, list_runs
from loadstone.archive.figure_notes import arrivals_text, in_flight_text, influx_notes, model_text, rate_text
from loadstone.domain.bootstrap import CONFIDENCE
from loadstone.domain.objective import Outcome, number_text
from loadstone.domain.run_seconds import ALL
from loadstone.domain.time import NS_PER_S, parse_iso_ns
from loadstone.domain.verdict import FAIL, INCONCLUSIVE, PASS
from loadstone.errors import ArchiveError
from loadstone.gate.verdict_report import CHANGE_HEADER, change_row
from loadstone.report.console import make_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import Figures, Latencies, ObjectiveRecord, RunRecord
    from loadstone.domain.request_name import RequestName
    from loadstone.gate.compare import Change, Comparison

__all__ = ["BETTER", "WORSE", "new_table", "print_comparison", "print_runs", "print_summary"]

_NARROW: Final = 100
"""Below this width tables have no vertical lines and leave out their least important columns."""
BETTER: Final = "green"
WORSE: Final = "red"
_VERDICTS: Final[Mapping[str, str]] = {PASS: BETTER, FAIL: WORSE, INCONCLUSIVE: "yellow"}
_RESULTS: Final[Mapping[bool | None, str]] = {True: BETTER, False: WORSE, None: "yellow"}
_SECOND_MS: Final = 1000


def new_table(console: Console, title: Text | str | None = None) -> Table:
    """An empty table that suits the width of the console."""
    if console.width >= _NARROW:
        return Table(title=title, title_justify="left", box=HEAVY_HEAD)
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _verdict_text(verdict: str) -> Text:
    return Text(verdict, f"bold {_VERDICTS[verdict]}")


def _result_text(ok: bool | None) -> Text:  # noqa: FBT001  (a result, not a switch)
    return Text(Outcome.of(ok), _RESULTS[ok])


def _number(value: float | None, form: str = ",.1f") -> str:
    return "-" if value is None else format(value, form)


def _ms(value: float | None) -> str:
    """A duration in ms: with a decimal below a second, without one from there on."""
    return _number(value, ",.1f" if value is None or value < _SECOND_MS else ",.0f")


# -- the runs of a folder ----------------------------------------------------------------------------------------------

_RUN_COLUMNS: Final = ("run", "started (UTC)", "scenario", "users", "req/s", "failures", "p95 ms", "verdict")
_RUN_NUMBERS: Final = frozenset({"users", "req/s", "failures", "p95 ms"})
_RUN_LEFT_OUT: Final = ("started (UTC)",)
"""Left out of a narrow table: the id of a run begins with its start."""


def print_runs(results: Path, newest: int | None = None, console: Console | None = None) -> int:
    """Print the ``newest`` runs (None: all). Returns how many runs there are in all."""
    console = console or make_console()
    runs = list_runs(results)
    if not runs:
        console.print(Text(f"There is no run in {results}. Start one with `loadstone run`."))
        return 0
    opened = [(folder, _opened(folder)) for folder in (runs[-newest:] if newest else runs)]
    console.print(_runs(opened, console))
    for folder, run in opened:
        if isinstance(run, ArchiveError) and folder.is_closed:
            console.print(Text(f"{folder.run} is damaged: {run}"), soft_wrap=True)
    return len(runs)


def _opened(folder: RunFolder) -> RunRecord | ArchiveError:
    """The record of a run, or why it cannot be read."""
    try:
        return ClosedRun.open(folder).record
    except ArchiveError as error:
        return error


def _runs(runs: list[tuple[RunFolder, RunRecord | ArchiveError]], console: Console) -> Table:
    table = new_table(console)
    table.caption = "figures of the window, or of the whole run where no window opened"
    columns = [name for name in _RUN_COLUMNS if console.width >= _NARROW or name not in _RUN_LEFT_OUT]
    for name in columns:
        table.add_column(
            name, justify="right" if name in _RUN_NUMBERS else "left", overflow="fold", no_wrap=name != "scenario"
        )
    for folder, run in runs:
        cells = dict(zip(_RUN_COLUMNS, _run_row(folder, run), strict=True))
        table.add_row(*(cells[name] for name in columns))
    return table


def _run_row(folder: RunFolder, run: RunRecord | ArchiveError) -> list[Text]:
    if isinstance(run, ArchiveError):
        state = "damaged" if folder.is_closed else "open"
        return [Text(folder.run), *(Text("-") for _ in _RUN_COLUMNS[2:]), Text(state, "dim")]
    figures = run.judged.total
    return [
        Text(folder.run),
        Text(_moment(run.started_at)),
        Text(_scenario(run)),
        Text(_number(run.users, ",d")),
        Text(_number(figures.rps)),
        Text(f"{figures.failures_pct:.3g} %"),
        Text(_number(figures.p95_ms)),
        _verdict_text(run.verdict),
    ]


def _scenario(run: RunRecord) -> str:
    return ", ".join(run.scenario.files if run.scenario else ()) or "-"


def _moment(iso: str | None) -> str:
    """A moment of run.json in UTC, to the second."""
    return datetime.fromtimestamp(parse_iso_ns(iso) // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if iso else "-"


# -- one run -----------------------------------------------------------------------------------------------------------

_FIGURES: Final = ("requests", "failures", "req/s", "mean ms", "p50 ms", "p95 ms", "p99 ms", "max ms")
_FEWER_FIGURES: Final = ("requests", "failures", "req/s", "p50 ms", "p95 ms", "p99 ms")


def print_summary(folder: RunFolder, console: Console | None = None) -> int:
    """Print the summary of a closed run; returns the exit code of its verdict. Raises `ArchiveError`."""
    console = console or make_console()
    run = ClosedRun.open(folder).record
    console.print(_requests(run, console))
    if run.objectives:
        console.print(_objectives(run, console))
    console.print(Text.assemble("verdict: ", _verdict_text(run.verdict)))
    for reason in run.reasons:
        console.print(Text(f"  {reason}"))
    for notice in run.notices:
        console.print(Text(f"  note: {notice}", "dim"))
    if arrivals := arrivals_text(run):
        console.print(Text(arrivals))
    if run.exceptions:
        console.print(Text(f"{run.exceptions:,} exceptions of tasks, {run.exceptions_in_window:,} in the window"))
    console.print(Text(_ledger(run), "dim"))
    for note in influx_notes(run):
        console.print(Text(note, "yellow"))
    console.print(Text(f"{in_flight_text(run)}\n{model_text(run)}", "dim"))
    console.print(Text(f"All files of this run: {folder.path}"), soft_wrap=True)
    return run.exit_code


def _requests(run: RunRecord, console: Console) -> Table:
    # Names and addresses are Text: rich would take the brackets of a plain string for markup.
    title = Text(f"run {run.id}: {_load(run)}, whole run", "table.title")
    table, columns = new_table(console, title), _FIGURES if console.width >= _NARROW else _FEWER_FIGURES
    table.add_column("request", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in run.summary.run.names:
        table.add_row(Text(row.request_name.label), *_figures(row, columns))
    parts = [("all", run.summary.run.total)]
    if run.window.opened:
        parts.append((f"all in the window, {number_text(run.window.seconds)} s", run.summary.window.total))
    for label, total in parts:
        table.add_row(label, *_figures(total, columns), style="bold")
        if total.service is not None:
            table.add_row("  service time", *_latencies(total.service, columns), style="dim")
    return table


def _load(run: RunRecord) -> str:
    users, host = f"{_number(run.users, ',d')} users", run.host or "an unknown target"
    return f"{rate_text(run)} on {host}, up to {users}" if run.rate else f"{users} on {host}"


def _figures(figures: Figures, columns: Sequence[str]) -> list[str]:
    share = f" ({figures.failures_pct:.1f}%)" if figures.failures else ""
    counts = {
        "requests": f"{figures.requests:,}",
        "failures": f"{figures.failures:,}{share}",
        "req/s": _number(figures.rps),
    }
    times = dict(zip(columns, _latencies(figures, columns), strict=True))
    return [(times | counts)[column] for column in columns]


def _latencies(times: Figures | Latencies, columns: Sequence[str]) -> list[str]:
    """A row of durations; columns of anything else stay empty."""
    cells = {
        "mean ms": times.mean_ms,
        "p50 ms": times.p50_ms,
        "p95 ms": times.p95_ms,
        "p99 ms": times.p99_ms,
        "max ms": times.max_ms,
    }
    return [_ms(cells[column]) if column in cells else "" for column in columns]


def _objectives(run: RunRecord, console: Console) -> Table:
    table = new_table(console, "objectives")
    for name in ("objective", "measured", "result"):
        table.add_column(name)
    for result in run.objectives:
        table.add_row(Text(result.text), _measured(result), _result_text(result.ok))
    return table


def _measured(result: ObjectiveRecord) -> str:
    if result.value is None:
        return "-"
    return " ".join(filter(None, (number_text(result.value, result.limit), result.unit)))


def _ledger(run: RunRecord) -> str:
    ledger = run.ledgers.archive
    return (
        f"{ledger.produced:,} requests produced, {ledger.stored:,} stored, {ledger.dropped:,} dropped, "
        f"{ledger.unknown:,} unknown; {run.aborted:,} cut off in flight, {run.unreported:,} sent but not reported"
    )


# -- two runs ----------------------------------------------------------------------------------------------------------

_CHANGE_TEXTS: Final = frozenset({"request", "metric", "different"})
_CHANGE_LEFT_OUT: Final = ("different",)
"""Left out of a narrow table: a figure differs when its interval does not contain zero."""


def print_comparison(comparison: Comparison, console: Console | None = None) -> int:
    """Print a comparison; returns the exit code of its verdict."""
    console = console or make_console()
    console.print(_changes(comparison, console))
    console.print(f"interval: {CONFIDENCE:.0%} confidence interval of the change", style="dim")
    console.print(Text(f"figures of both windows. {model_text(comparison.base, comparison.run)}", "dim"))
    for note in (*comparison.setup_differences, *comparison.doubts):
        console.print(Text(f"  note: {note}", "dim"))
    for result in comparison.results:
        console.print(Text.assemble(f"  {result.text}: ", _result_text(result.ok), f" ({result.reason})"))
    console.print(Text.assemble("verdict: ", _verdict_text(comparison.verdict)))
    return int(comparison.exit_code)


def _changes(comparison: Comparison, console: Console) -> Table:
    title = Text(f"base {comparison.base.id}, run {comparison.run.id}", "table.title")
    table = new_table(console, title)
    columns = [name for name in CHANGE_HEADER if console.width >= _NARROW or name not in _CHANGE_LEFT_OUT]
    for name in columns:
        table.add_column(
            name, justify="left" if name in _CHANGE_TEXTS else "right", overflow="fold", no_wrap=name != "request"
        )
    shown = {ALL} | {change.name for change in comparison.changes if change.differs}
    above: RequestName | None = None
    for change in comparison.changes:
        if change.name in shown:
            cells = dict(zip(CHANGE_HEADER, change_row(change), strict=True))
            cells |= {"request": ""} if change.name == above else {}
            table.add_row(*(Text(cells[name]) for name in columns), style=_change_style(change))
            above = change.name
    return table


def _change_style(change: Change) -> str | None:
    if not change.differs or change.change is None:
        return None
    more_is_better = change.metric == "rps"
    return BETTER if (change.change > 0) == more_is_better else WORSE
