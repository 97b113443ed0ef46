"""The slowest requests of a closed run, found without reading all of them.

requests.parquet says of each row group how long its slowest request took. Row groups are read from the slowest on, one
column of one group at a time, until no other one can hold a request that is among those wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from loadstone.domain.request_name import RequestName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.archive.run_table import RunTable

__all__ = ["SlowRequest", "slowest_requests"]

_LATENCY: Final = "rt_us"
_SHOWN: Final = ("start", "method", "name", "status", "error", "bytes", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequest:
    """One request: ``rt_us`` is its response time, and ``start_ns`` when it was sent (ns since 1970).

    ``status`` is None without a response, and ``error`` None unless it failed.
    """

    name: RequestName
    rt_us: int
    start_ns: int
    status: int | None
    error: str | None
    size_bytes: int
    worker: int


@dataclass(frozen=True, slots=True, order=True)
class _Found:
    """Where a request is. Ordered as they are shown: the slowest first, equal ones in the order of the file."""

    minus_us: int
    group: int
    row: int


def slowest_requests(requests: RunTable, count: int) -> list[SlowRequest]:
    """The ``count`` requests with the longest response times, the slowest first. Raises `UnreadableRunError`.

    ``requests``: requests.parquet. One column of one row group is in memory at a time.
    """
    bounds = [(inf if bound is None else float(bound), group) for group, bound in requests.group_maxima(_LATENCY)]
    found: list[_Found] = []
    for bound, group in sorted(bounds, key=lambda each: (-each[0], each[1])):
        if len(found) == count and bound < -found[-1].minus_us:
            break
        column = requests.group(group, [_LATENCY])[_LATENCY]
        found = sorted([*found, *_slowest_of(column, group, count)])[:count]
    return _with_details(requests, found)


def _slowest_of(column: Any, group: int, count: int) -> Iterator[_Found]:
    values = np.asarray(column.combine_chunks().fill_null(-1), np.int64)  # null: a request without a response time
    rows = np.argsort(-values, kind="stable")[:count] if len(values) > count else np.arange(len(values))
    yield from (_Found(-int(values[row]), group, int(row)) for row in rows if values[row] >= 0)


def _with_details(requests: RunTable, found: Sequence[_Found]) -> list[SlowRequest]:
    """Each group is read once more, with all that is shown of a request."""
    details: dict[_Found, SlowRequest] = {}
    for group in {each.group for each in found}:
        mine = [each for each in found if each.group == group]
        table = requests.group(group, _SHOWN).take([each.row for each in mine])
        starts = table["start"].cast(pa.int64()).to_pylist()
        rows = table.drop_columns(["start"]).to_pylist()
        for each, start_ns, row in zip(mine, starts, rows, strict=True):
            details[each] = SlowRequest(
                name=RequestName(row["method"], row["name"]),
                rt_us=-each.minus_us,
                start_ns=int(start_ns or 0),
                status=row["status"],
                error=row["error"],
                size_bytes=row["bytes"],
                worker=row["worker"],
            )
    return [details[each] for each in found]
