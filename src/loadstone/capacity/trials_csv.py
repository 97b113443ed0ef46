"""trials.csv: every trial of a study as one row, for spreadsheets; it is written beside study.json.

The first columns are those that people write down who tune limits by hand, in their order.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import replace_file
from loadstone.domain.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.capacity.study_record import StudyRecord, TrialRecord

__all__ = ["CSV_HEADER", "csv_text", "write_trials_csv"]

CSV_HEADER: Final = (
    "users",
    "failures_pct",
    "mean_ms",
    "max_ms",
    "memory_limit_mib",
    "cpu_limit_cores",
    "replicas",
    "remark",
    "p95_ms",
    "p99_ms",
    "requests_per_s",
    "arrivals_per_s",
    "peak_memory_mib",
    "cpu_used_cores",
    "throttled_pct",
    "bottleneck",
    "window_s",
    "verdict",
    "run",
)
_FORMULA: Final = frozenset("=+-@\t\r")


def write_trials_csv(folder: Path, study: StudyRecord) -> None:
    """Replace trials.csv in the folder of a study. Raises `OSError`."""
    text = csv_text(study)

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8", errors="replace", newline="")

    replace_file(folder / "trials.csv", write)


def csv_text(study: StudyRecord) -> str:
    """The table as text; what is not known is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows([*_row(trial)] for trial in study.trials)
    return text.getvalue()


def _row(trial: TrialRecord) -> Iterator[object]:
    setting, measured = trial.setting, trial.rps is not None
    yield from (trial.users, _rounded(trial.failures_pct) if measured else None)
    yield from map(_rounded, (trial.mean_ms, trial.max_ms))
    yield _rounded(setting.mem_bytes / MIB) if setting else None
    yield from (setting.cpu_cores, setting.replicas) if setting else (None, None)
    yield _harmless("; ".join(trial.reasons))
    yield from map(_rounded, (trial.p95_ms, trial.p99_ms, trial.rps, trial.rate))
    yield None if trial.peak_mem_bytes is None else _rounded(trial.peak_mem_bytes / MIB)
    yield from map(_rounded, (trial.cpu_cores, trial.throttled_pct))
    yield trial.bottleneck.cause if trial.bottleneck else None
    yield from (trial.window_s, trial.outcome, trial.run)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: reasons may hold names that a target or a scenario chose."""
    return f"'{text}" if text[:1] in _FORMULA else text
