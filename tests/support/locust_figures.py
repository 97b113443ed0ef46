"""Reading what plain Locust counted: from its CSV files, or from the summary that it prints when they are older.

Locust writes the CSV files once a second and not again at its end, so they may lack the last requests; the summary has
all of them, with times in whole milliseconds.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Row", "plain_errors", "plain_rows", "read_errors", "read_rows", "tally"]

_LINE: Final = re.compile(
    r"^(?P<method>\S*) +(?P<name>.*?) +(?P<requests>\d+) +(?P<failures>\d+)\([\d.]+%\) \|"
    r" +(?P<mean>-?\d+) +(?P<least>-?\d+) +(?P<most>-?\d+) +(?P<median>-?\d+) \|",
    re.MULTILINE,
)
_ERROR: Final = re.compile(r"^(\d+) +(\S.*?) *$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One request name of either one's statistics; times in ms."""

    requests: int
    failures: int
    mean_ms: float
    median_ms: float


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of a ``stats.csv`` by ``"GET /path"``, without that of all requests together."""
    return {
        f"{row['Type']} {row['Name']}": Row(
            requests=int(row["Request Count"]),
            failures=int(row["Failure Count"]),
            mean_ms=float(row["Average Response Time"]),
            median_ms=float(row["Median Response Time"]),
        )
        for row in _lines(path)
        if row["Name"] != "Aggregated"
    }


def plain_rows(path: Path, output: str) -> dict[str, Row]:
    """What plain Locust counted: the CSV file's row of a name, unless the summary has counted more since."""
    precise = read_rows(path)
    return {name: _newer(precise.get(name), row) for name, row in (_summary(output) or precise).items()}


def read_errors(path: Path) -> Counter[str]:
    """The rows of a ``failures.csv``, by ``"GET /path: text"``."""
    return tally(path, "Occurrences", "{Method} {Name}: {Error}")


def plain_errors(path: Path, output: str) -> Counter[str]:
    """What plain Locust reported: the CSV file, unless the report that it prints has counted more since."""
    _, _, report = output.rpartition("\nError report\n")
    printed = Counter({text: int(number) for number, text in _ERROR.findall(report)})
    written = read_errors(path)
    return printed if printed.total() > written.total() else written


def tally(path: Path, number: str, shown: str) -> Counter[str]:
    """The rows of a CSV file of errors or exceptions, each as ``shown`` formats it, and how often each was."""
    counted: Counter[str] = Counter()
    for row in _lines(path):
        counted[shown.format_map(row)] += int(row[number])
    return counted


def _summary(output: str) -> dict[str, Row]:
    """The table before that of the percentiles."""
    head, _, _ = output.rpartition("\nResponse time percentiles")
    _, _, table = head.rpartition("\nType ")
    found = [match for match in _LINE.finditer(table) if match["name"] != "Aggregated"]
    return {
        f"{match['method']} {match['name']}": Row(
            requests=int(match["requests"]),
            failures=int(match["failures"]),
            mean_ms=float(match["mean"]),
            median_ms=float(match["median"]),
        )
        for match in found
    }


def _newer(precise: Row | None, rounded: Row) -> Row:
    """The precise row if it has as many requests."""
    same = precise and (precise.requests, precise.failures) == (rounded.requests, rounded.failures)
    return precise if precise and same else rounded


def _lines(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
