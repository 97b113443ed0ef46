"""The CSV files that Locust writes with ``--csv NAME --csv-full-history``, made from rollups.

Headers, order of rows, units and line ends are those of ``locust.stats.StatsCSVFileWriter`` (Locust 2.47; a test
compares). Milliseconds; percentiles are whole ones, as Locust's, but come from histograms that are at most 0.4 % off.
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.rollup import merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadstone.archive.failures import Failure
    from loadstone.archive.run_events import UserException
    from loadstone.domain.rollup import Rollup

__all__ = ["AGGREGATED", "PERCENTS", "csv_rows", "figures", "write_exceptions", "write_failures", "write_stats"]

AGGREGATED: Final = ("", "Aggregated")
PERCENTS: Final[Mapping[str, float]] = {
    "50%": 50,
    "66%": 66,
    "75%": 75,
    "80%": 80,
    "90%": 90,
    "95%": 95,
    "98%": 98,
    "99%": 99,
    "99.9%": 99.9,
    "99.99%": 99.99,
    "100%": 100,
}
_STATS: Final = (
    "Type",
    "Name",
    "Request Count",
    "Failure Count",
    "Median Response Time",
    "Average Response Time",
    "Min Response Time",
    "Max Response Time",
    "Average Content Size",
    "Requests/s",
    "Failures/s",
    *PERCENTS,
)
_FAILURES: Final = ("Method", "Name", "Error", "Occurrences", "First Seen", "Last Seen")
_EXCEPTIONS: Final = ("Count", "Message", "Traceback", "Nodes")
_NS: Final = 1_000_000_000


@contextmanager
def csv_rows(path: Path) -> Iterator[Any]:
    """A writer of CSV rows into a file, with Locust's line ends."""
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        yield csv.writer(file)


def write_stats(path: Path, totals: Mapping[tuple[str, str], Rollup], duration_s: float) -> None:
    """stats.csv: totals per request name; rates are over ``duration_s``, from the start to the last request."""
    with csv_rows(path) as rows:
        rows.writerow(_STATS)
        for (method, name), rollup in [*_in_order(totals), (AGGREGATED, merged(totals.values()))]:
            rates = [count / duration_s if duration_s > 0 else 0.0 for count in (rollup.n, rollup.err)]
            rows.writerow([method, name, *figures(rollup, rollup.percentile_us(50)), *rates, *_percentiles(rollup)])


def write_failures(path: Path, failures: Mapping[tuple[str, str, str], Failure]) -> None:
    """failures.csv, in Locust's order, which is that of a digest of method, name and error."""
    with csv_rows(path) as rows:
        rows.writerow(_FAILURES)
        for (method, name, error), failure in sorted(failures.items(), key=lambda item: _locust_key(*item[0])):
            seen = (_second_text(failure.first_ns), _second_text(failure.last_ns))
            rows.writerow([method, name, error, failure.count, *seen])


def write_exceptions(path: Path, exceptions: Mapping[tuple[str, str], UserException]) -> None:
    """exceptions.csv, in order of first appearance."""
    with csv_rows(path) as rows:
        rows.writerow(_EXCEPTIONS)
        for (message, traceback), exception in exceptions.items():
            rows.writerow([exception.count, message, traceback, ", ".join(exception.nodes)])


def _in_order(totals: Mapping[tuple[str, str], Rollup]) -> list[tuple[tuple[str, str], Rollup]]:
    """Locust sorts by name, then method."""
    return sorted(totals.items(), key=lambda item: item[0][::-1])


def figures(rollup: Rollup, median_us: float) -> list[float]:
    """Requests, failures, then median, mean, minimum and maximum (ms), then mean size (bytes)."""
    low_ms, high_ms = rollup.rt_min_us / 1000, rollup.rt_max_us / 1000
    return [
        rollup.n,
        rollup.err,
        max(min(round(median_us / 1000), high_ms), low_ms) or 0,  # whole, but never outside the exact extremes
        rollup.mean_us / 1000,
        low_ms or 0,
        high_ms or 0,
        rollup.bytes / rollup.n if rollup.n else 0,
    ]


def _percentiles(rollup: Rollup) -> list[Any]:
    if not rollup.n:
        return ["N/A"] * len(PERCENTS)
    return [round(value / 1000) for value in rollup.percentiles_us(PERCENTS.values())]


def _locust_key(method: str, name: str, error: str) -> str:
    """The key by which Locust sorts failures (``StatsError.create_key``)."""
    return sha256(f"{method}.{name}.{error!r}".encode("utf-8", "replace")).hexdigest()


def _second_text(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
