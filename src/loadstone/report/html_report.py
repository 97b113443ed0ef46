"""The HTML report of a run, made again, with the difference to a baseline run when one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.charts.page import write_report
from loadstone.gate.compare import compare_runs
from loadstone.gate.verdict_report import report_of_comparison

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["make_report"]


def make_report(folder: RunFolder, baseline: RunFolder | None = None, *, allow_unlike: bool = False) -> Path:
    """Write report.html; where it is. Raises `UsageError` for an unlike baseline, `ArchiveError` as reading does."""
    if baseline is None:
        return write_report(folder)
    comparison = compare_runs(baseline, folder, allow_unlike=allow_unlike)
    return write_report(folder, baseline=report_of_comparison(comparison).rows, baseline_id=baseline.run)
