"""The HTML report of a run, with the change from a baseline run if one is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun
from loadstone.charts.page import write_report
from loadstone.gate.compare import compare_runs
from loadstone.gate.verdict_report import change_row

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["make_report"]


def make_report(folder: RunFolder, baseline: RunFolder | None = None, *, allow_unlike: bool = False) -> Path:
    """Write report.html and return its path.

    Raises `UsageError` for a baseline that is not comparable, `ArchiveError` when a run cannot be read.
    """
    if baseline is None:
        return write_report(folder)
    comparison = compare_runs(ClosedRun.open(baseline), ClosedRun.open(folder), allow_unlike=allow_unlike)
    rows = [change_row(change) for change in comparison.changes]
    return write_report(folder, baseline=rows, baseline_id=baseline.run)
