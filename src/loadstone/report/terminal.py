"""What people read in the terminal: the runs of a folder, the summary of a run, and the comparison of two.

All of them share one console, one way to write numbers, and one style for each verdict and result.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

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
from loadstone.report.tables import Row, fitting_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import Figures, Latencies, ObjectiveRecord, RunRecord
    from loadstone.domain.request_name import RequestName
    from loadstone.gate.compare import Change, Comparison

__all__ = ["BETTER", "WORSE", "print_comparison", "print_runs", "print_summary"]

BETTER: Final = "green"
WORSE: Final = "red"
_VERDICTS: Final[Mapping[str, str]] = {PASS: BETTER, FAIL: WORSE, INCONCLUSIVE: "yellow"}
_RESULTS: Final[Mapping[bool | None, str]] = {True: BETTER, False: WORSE, None: "yellow"}
_SECOND_MS: Final = 1000
_INDENT: Final = "  "


def _verdict_text(verdict: str) -> Text:
    return Text(verdict, f"bold {_VERDICTS[verdict]}")


def _result_text(ok: bool | None) -> Text:  # noqa: FBT001  (a result, not a switch)
    return Text(Outcome.of(ok), _RESULTS[ok])


def _number(value: float | None, form: str = ",.1f") -> str:
    return "-" if value is None else format(value, form)


def _print_indented(console: Console, text: Text) -> None:
    """The text, indented in every line that it takes."""
    for line in text.wrap(console, max(1, console.width - len(_INDENT))):
        line.rstrip()
        console.print(Text(_INDENT).append_text(line))


def _print_parts(console: Console, text: str, style: str = "") -> None:
    """The text; where it does not fit into a line, each of its parts has one of its own."""
    for part in text.split("; ") if len(text) > console.width else [text]:
        console.print(Text(part, style))


def _ms(value: float | None) -> str:
    """A duration in ms: with a decimal below a second, without one from there on."""
    return _number(value, ",.1f" if value is None or value < _SECOND_MS else ",.0f")


# -- the runs of a folder ----------------------------------------------------------------------------------------------

_RUN_COLUMNS: Final = ("run", "started (UTC)", "scenario", "users", "req/s", "failures", "p95 ms", "verdict")
_RUN_TEXTS: Final = frozenset({"run", "started (UTC)", "verdict"})
_RUN_LEFT_OUT: Final = ("started (UTC)", "scenario")
"""Left out of a narrow table, one after the other: the id of a run begins with its start."""


def print_runs(results: Path, newest: int | None = None, console: Console | None = None) -> int:
    """Print the ``newest`` runs (None: all). Returns how many runs there are in all."""
    console = console or make_console()
    runs = list_runs(results)
    if not runs:
        console.print(Text(f"There is no run in {results}. Start one with `loadstone run`."))
        return 0
    opened = [(folder, _opened(folder)) for folder in (runs[-newest:] if newest else runs)]
    console.print(_runs(opened, console))
    console.print("figures of the window, or of the whole run where no window opened", style="dim")
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
    rows = [Row(dict(zip(_RUN_COLUMNS, _run_row(folder, run), strict=True))) for folder, run in runs]
    without = [_RUN_LEFT_OUT[:count] for count in range(len(_RUN_LEFT_OUT) + 1)]
    choices = [[name for name in _RUN_COLUMNS if name not in left_out] for left_out in without]
    return fitting_table(console, rows, choices, name="scenario", left=_RUN_TEXTS)


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
        Text(_ms(figures.p95_ms)),
        _verdict_text(run.verdict),
    ]


def _scenario(run: RunRecord) -> str:
    return ", ".join(run.scenario.files if run.scenario else ()) or "-"


def _moment(iso: str | None) -> str:
    """A moment of run.json in UTC, to the second."""
    return datetime.fromtimestamp(parse_iso_ns(iso) // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if iso else "-"


# -- one run -----------------------------------------------------------------------------------------------------------

_FIGURES: Final = ("requests", "failures", "req/s", "mean ms", "p50 ms", "p95 ms", "p99 ms", "max ms")
_FIGURES_LEFT_OUT: Final = ("mean ms", "max ms", "p50 ms", "req/s")
"""Left out where there is no room, one after the other."""


def print_summary(folder: RunFolder, console: Console | None = None) -> int:
    """Print the summary of a closed run; returns the exit code of its verdict. Raises `ArchiveError`."""
    console = console or make_console()
    run = ClosedRun.open(folder).record
    console.print(Text(f"run {run.id}: {_load(run)}, whole run", "table.title"))
    console.print(_requests(run, console))
    if run.objectives:
        console.print(Text("objectives", "table.title"))
        console.print(_objectives(run, console))
    console.print(Text.assemble("verdict: ", _verdict_text(run.verdict)))
    for reason in run.reasons:
        _print_indented(console, Text(reason))
    for notice in run.notices:
        _print_indented(console, Text(f"note: {notice}", "dim"))
    if arrivals := arrivals_text(run):
        _print_parts(console, arrivals)
    if run.exceptions:
        console.print(Text(f"{run.exceptions:,} exceptions of tasks, {run.exceptions_in_window:,} in the window"))
    _print_parts(console, _ledger(run), "dim")
    for note in influx_notes(run):
        console.print(Text(note, "yellow"))
    _print_parts(console, in_flight_text(run), "dim")
    console.print(Text(model_text(run), "dim"))
    console.print(Text(f"All files of this run: {folder.path}"), soft_wrap=True)
    return run.exit_code


def _requests(run: RunRecord, console: Console) -> Table:
    # Names and addresses are Text: rich would take the brackets of a plain string for markup.
    rows = [_figures_row(row.request_name.label, row) for row in run.summary.run.names]
    parts = [("all", run.summary.run.total)]
    if run.window.opened:
        parts.append((f"all in the window, {number_text(run.window.seconds)} s", run.summary.window.total))
    for label, total in parts:
        rows.append(_figures_row(label, total, "bold"))
        if total.service is not None:
            rows.append(Row(_latencies(total.service) | {"request": Text("  service time")}, "dim"))
    without = [_FIGURES_LEFT_OUT[:count] for count in (0, 2, 3, 4)]
    choices = [["request", *(name for name in _FIGURES if name not in left_out)] for left_out in without]
    return fitting_table(console, rows, choices, name="request")


def _load(run: RunRecord) -> str:
    users, host = f"{_number(run.users, ',d')} users", run.host or "an unknown target"
    return f"{rate_text(run)} on {host}, up to {users}" if run.rate else f"{users} on {host}"


def _figures_row(label: str, figures: Figures, style: str | None = None) -> Row:
    share = f" ({figures.failures_pct:.1f}%)" if figures.failures else ""
    counts = {
        "request": label,
        "requests": f"{figures.requests:,}",
        "failures": f"{figures.failures:,}{share}",
        "req/s": _number(figures.rps),
    }
    return Row(_latencies(figures) | {name: Text(cell) for name, cell in counts.items()}, style)


def _latencies(times: Figures | Latencies) -> dict[str, Text]:
    """A row of durations; columns of anything else stay empty."""
    cells = {
        "mean ms": times.mean_ms,
        "p50 ms": times.p50_ms,
        "p95 ms": times.p95_ms,
        "p99 ms": times.p99_ms,
        "max ms": times.max_ms,
    }
    return {name: Text(_ms(cells[name]) if name in cells else "") for name in _FIGURES}


def _objectives(run: RunRecord, console: Console) -> Table:
    rows = [
        Row({"objective": Text(each.text), "measured": Text(_measured(each)), "result": _result_text(each.ok)})
        for each in run.objectives
    ]
    columns = ("objective", "measured", "result")
    return fitting_table(console, rows, [columns], name="objective", left={"result"})


def _measured(result: ObjectiveRecord) -> str:
    if result.value is None:
        return "-"
    unit = "/s" if result.unit == "1/s" else f" {result.unit}".rstrip()
    return f"{number_text(result.value, result.limit)}{unit}"


def _ledger(run: RunRecord) -> str:
    ledger = run.ledgers.archive
    return (
        f"{ledger.produced:,} requests produced, {ledger.stored:,} stored, {ledger.dropped:,} dropped, "
        f"{ledger.unknown:,} unknown; {run.aborted:,} cut off in flight, {run.unreported:,} sent but not reported"
    )


# -- two runs ----------------------------------------------------------------------------------------------------------

_CHANGE_TEXTS: Final = frozenset({"metric", "different"})
_LEFT_OUT_FIRST: Final = "different"
"""Left out of a narrow table: a figure differs when its interval does not contain zero."""


def print_comparison(comparison: Comparison, console: Console | None = None) -> int:
    """Print a comparison; returns the exit code of its verdict."""
    console = console or make_console()
    console.print(Text(f"base {comparison.base.id}, run {comparison.run.id}", "table.title"))
    console.print(_changes(comparison, console))
    console.print(f"interval: {CONFIDENCE:.0%} confidence interval of the change", style="dim")
    console.print(Text(f"figures of both windows. {model_text(comparison.base, comparison.run)}", "dim"))
    for note in (*comparison.setup_differences, *comparison.doubts):
        _print_indented(console, Text(f"note: {note}", "dim"))
    for result in comparison.results:
        _print_indented(console, Text.assemble(f"{result.text}: ", _result_text(result.ok), f" ({result.reason})"))
    console.print(Text.assemble("verdict: ", _verdict_text(comparison.verdict)))
    return int(comparison.exit_code)


def _changes(comparison: Comparison, console: Console) -> Table:
    shown = {ALL} | {change.name for change in comparison.changes if change.differs}
    rows: list[Row] = []
    above: RequestName | None = None
    for change in comparison.changes:
        if change.name in shown:
            cells = dict(zip(CHANGE_HEADER, change_row(change), strict=True))
            cells |= {"request": ""} if change.name == above else {}
            rows.append(Row({name: Text(cell) for name, cell in cells.items()}, _change_style(change)))
            above = change.name
    choices = (CHANGE_HEADER, [name for name in CHANGE_HEADER if name != _LEFT_OUT_FIRST])
    return fitting_table(console, rows, choices, name="request", left=_CHANGE_TEXTS)


def _change_style(change: Change) -> str | None:
    if not change.differs or change.change is None:
        return None
    more_is_better = change.metric == "rps"
    return BETTER if (change.change > 0) == more_is_better else WORSE
