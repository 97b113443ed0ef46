"""Recorder: each request becomes one value in each of a few columns, without formatting, I/O or waiting."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from locust.stats import StatsError

from loadstone.domain.batch import NO_ERROR, Columns
from loadstone.domain.time import US_PER_S

__all__ = ["Recorder", "Recording"]

_NO_RESPONSE: Final = (0, -1)
_UNKNOWN_TTFB: Final = -1
_ERROR_LIMIT: Final = 1024
"""Characters of an error text that are kept: line protocol strings beyond 1 KB are of no use to a reader."""

Reader = Callable[[Any], tuple[int, int]]
Recording = tuple[Columns, tuple[tuple[str, str], ...], tuple[str, ...]]
"""Samples with their two tables: (method, name) pairs and error texts."""


def _read_lean(response: Any) -> tuple[int, int]:
    return response.status_code, response.ttfb_us


def _read_requests(response: Any) -> tuple[int, int]:
    """``elapsed`` is the time from sending to the headers; after redirects it is the last one's, so unusable."""
    if response.history or not response.status_code:
        return response.status_code or 0, _UNKNOWN_TTFB
    return response.status_code, int(response.elapsed.total_seconds() * US_PER_S)


def _read_other(response: Any) -> tuple[int, int]:
    status = getattr(response, "status_code", 0)
    return (status if isinstance(status, int) else 0), _UNKNOWN_TTFB


def _reader_for(kind: type[Any]) -> Reader:
    """How to read status and time to first byte (us, -1 unknown) off a response without touching its body."""
    if hasattr(kind, "ttfb_us"):
        return _read_lean
    if any(base.__module__ == "requests.models" for base in kind.__mro__):
        return _read_requests
    return _read_other


class Recorder:
    """Listener of Locust's ``request`` event: columns in memory, taken away every half second.

    All users of a process run in one thread and switch only where they wait, so neither `record` nor `take` is
    ever interrupted by the other.
    """

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.perf_counter_ns()
        self._last_end_ns = 0
        self._end, self._duration, self._ttfb, self._bytes = array("q"), array("q"), array("i"), array("q")
        self._status, self._name, self._error = array("i"), array("i"), array("i")
        self._names: dict[tuple[str, str], int] = {}
        self._errors: dict[str, int] = {}
        self._readers: dict[type[Any], Reader] = {}
        self._add_end, self._add_duration, self._add_ttfb = self._end.append, self._duration.append, self._ttfb.append
        self._add_bytes, self._add_status = self._bytes.append, self._status.append
        self._add_name, self._add_error = self._name.append, self._error.append

    def now_ns(self) -> int:
        """The wall clock, anchored to the monotonic clock once, so a step of the wall clock does not matter."""
        return self._anchor_ns + time.perf_counter_ns()

    def record(
        self,
        request_type: str,
        name: str,
        response_time: float | None,
        response_length: int | None,
        response: Any = None,
        exception: Any = None,
        context: Any = None,  # noqa: ARG002  (named, because gathering them in a dict costs 0.2 us)
        start_time: Any = None,  # noqa: ARG002
        url: Any = None,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """One request that ended now. ``response_time`` is in milliseconds; None, which Locust allows, counts as 0."""
        self._add_end(time.perf_counter_ns())
        self._add_duration(int(response_time * 1000) if response_time else 0)
        self._add_bytes(response_length or 0)
        status, ttfb_us = _NO_RESPONSE
        if response is not None:
            kind = type(response)
            reader = self._readers.get(kind) or self._learn(kind)
            status, ttfb_us = reader(response)
        self._add_status(status)
        self._add_ttfb(ttfb_us)
        key = (request_type, name)
        index = self._names.get(key)
        self._add_name(self._names.setdefault(key, len(self._names)) if index is None else index)
        self._add_error(NO_ERROR if not exception else self._error_index(exception))

    def take(self) -> Recording:
        """The samples since the last call, and an empty recorder. Ends are made strictly increasing."""
        end_ns = np.array(self._end, np.int64) + self._anchor_ns
        columns = Columns(
            end_ns=self._strictly_increasing(end_ns),
            duration_us=np.array(self._duration, np.int64),
            ttfb_us=np.array(self._ttfb, np.int32),
            bytes=np.array(self._bytes, np.int64),
            status=np.array(self._status, np.int32),
            name=np.array(self._name, np.int32),
            error=np.array(self._error, np.int32),
        )
        taken = columns, tuple(self._names), tuple(self._errors)
        self._clear()
        return taken

    def _clear(self) -> None:
        for column in (
            self._end,
            self._duration,
            self._ttfb,
            self._bytes,
            self._status,
            self._name,
            self._error,
        ):
            del column[:]
        self._names.clear()
        self._errors.clear()

    def _learn(self, kind: type[Any]) -> Reader:
        return self._readers.setdefault(kind, _reader_for(kind))

    def _error_index(self, exception: Any) -> int:
        text = StatsError.parse_error(exception)[:_ERROR_LIMIT]
        return self._errors.setdefault(text, len(self._errors))

    def _strictly_increasing(self, end_ns: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        if not len(end_ns):
            return end_ns
        steps = np.arange(len(end_ns))
        end_ns[0] = max(int(end_ns[0]), self._last_end_ns + 1)
        unique = np.maximum.accumulate(end_ns - steps) + steps
        self._last_end_ns = int(unique[-1])
        return unique
