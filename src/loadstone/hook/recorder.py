"""Recorder: each request becomes one value in each of a few columns, without formatting, I/O or waiting.

Scenarios fire Locust's ``request`` event themselves, with arguments of any type and from native threads. A value that
cannot be stored is replaced by what Locust would count, and its event is counted as *odd*; no event costs another one
its sample.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gevent
import gevent.monkey
import numpy as np

from loadstone.domain.batch import NO_ERROR, UNTIMED, Columns, no_intents
from loadstone.domain.rollup import MAX_DURATION_US
from loadstone.domain.time import US_PER_S
from loadstone.hook.logged_error import LoggedError, requests_of_errors
from loadstone.hook.odd_event import (
    MAX_BYTES,
    RequestEvent,
    duration_us,
    error_text,
    is_failure,
    kept_error,
    size_bytes,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from numpy.typing import NDArray

__all__ = ["Recorder", "Recording"]

_NO_RESPONSE: Final = (0, -1)
_UNKNOWN_TTFB: Final = -1
_NO_TIME: Final = -(1 << 63)
"""Duration of an untimed request until it is taken: unlike `UNTIMED`, no event can have it."""

Reader = Callable[[Any], tuple[int, int]]
_native_thread: Final[Callable[[], int]] = gevent.monkey.get_original("_thread", "get_ident")


class Recording(NamedTuple):
    """Samples with their two tables: (method, name) pairs, and error texts with their secrets masked.

    ``odd`` of the samples are odd events, of which ``odd_example`` describes one; it is empty where there is none.
    ``lone_errors`` of them are errors that were logged without a request.
    """

    columns: Columns
    names: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]
    odd: int
    odd_example: str
    lone_errors: int = 0


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
    ever interrupted by the other. Events of other threads wait in a queue of their own until `take`.

    Under the open model the first request of an iteration has an intended start: ``lateness_us`` has, by the greenlet
    that an arrival has woken, how late its iteration began, as long as nothing has been recorded of it.
    """

    def __init__(self, lateness_us: MutableMapping[Any, int] | None = None) -> None:
        self._lateness_us = {} if lateness_us is None else lateness_us
        self._late_rows, self._late = array("q"), array("q")
        self._anchor_ns = time.time_ns() - time.perf_counter_ns()
        self._thread = _native_thread()
        self._from_threads: deque[RequestEvent] = deque()
        self._logged_requests: set[int] = set()
        self._logged_errors: deque[LoggedError] = deque()
        self._last_end_ns = 0
        self._end, self._duration, self._ttfb, self._bytes = array("q"), array("q"), array("i"), array("q")
        self._status, self._name, self._error = array("i"), array("i"), array("i")
        self._names: dict[tuple[Any, Any], int] = {}
        self._errors: dict[str, int] = {}
        self._odd, self._odd_example = 0, ""
        self._readers: dict[type[Any], Reader] = {}
        self._columns = (
            *(self._end, self._duration, self._ttfb, self._bytes),
            *(self._status, self._name, self._error),
        )
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
        """One request that ended now. ``response_time`` is in milliseconds; with None it counts, but has no time."""
        end = time.perf_counter_ns()
        if _native_thread() != self._thread:
            values = (request_type, name, response_time, response_length, response, exception)
            self._from_threads.append(RequestEvent(end, *values))
            return
        try:
            duration = int(response_time * 1000) if response_time else 0 if response_time is not None else _NO_TIME
            status, ttfb_us = _NO_RESPONSE
            if response is not None:
                kind = type(response)
                reader = self._readers.get(kind) or self._learn(kind)
                status, ttfb_us = reader(response)
            error = NO_ERROR if not exception else self._error_index(exception)
            key = (request_type, name)
            index = self._names.get(key)
            self._add_name(self._names.setdefault(key, len(self._names)) if index is None else index)
            self._add_error(error)
            self._add_status(status)
            self._add_ttfb(ttfb_us)
            self._add_bytes(response_length or 0)
            self._add_duration(duration)
            self._add_end(end)
            if self._lateness_us:
                self._take_lateness()
        except Exception:  # noqa: BLE001  (whatever a scenario's own types raise; the event is counted as odd)
            self._undo()
            values = (request_type, name, response_time, response_length, response, exception)
            event = RequestEvent(end, *values)
            self._record_any(event)
            self._take_lateness()
            self._note_odd(event.describe())

    def log_request(self, method: Any, name: Any, response_time: Any, content_length: Any) -> None:
        """A scenario has called Locust's function of this name itself: a request that succeeded."""
        if _native_thread() == self._thread:
            self._logged_requests.add(len(self._end))
        self.record(method, name, response_time, content_length)

    def log_error(self, method: Any, name: Any, error: Any) -> None:
        """A scenario has called Locust's function of this name itself: it counts as the failure of a request."""
        place = len(self._end) if _native_thread() == self._thread else None
        self._logged_errors.append(LoggedError(time.perf_counter_ns(), method, name, error, place))

    def take(self) -> Recording:
        """The samples since the last call, and an empty recorder. Ends are made strictly increasing."""
        unsorted = self._take_events_of_threads()
        lone_errors = self._take_logged_errors()
        unsorted = unsorted or lone_errors > 0
        name, duration, size = np.array(self._name, np.int32), np.array(self._duration, np.int64), np.array(self._bytes)
        untimed = duration == _NO_TIME
        duration[untimed] = 0
        names = self._replace_odd_values(name, duration, size)
        duration[untimed] = UNTIMED
        columns = Columns(
            end_ns=np.array(self._end, np.int64) + self._anchor_ns,
            duration_us=duration,
            ttfb_us=np.array(self._ttfb, np.int32),
            bytes=size,
            status=np.array(self._status, np.int32),
            name=name,
            error=np.array(self._error, np.int32),
            late_us=self._lateness(len(name)),
        )
        if unsorted:
            columns = columns.at(np.argsort(columns.end_ns, kind="stable"))
        self._make_strictly_increasing(columns.end_ns)
        taken = Recording(columns, names, tuple(self._errors), self._odd, self._odd_example, lone_errors)
        self._clear()
        return taken

    def _lateness(self, n: int) -> NDArray[np.int64]:
        """How late the iterations began whose first requests are among the n samples, in the order of recording."""
        lateness = no_intents(n)
        lateness[np.array(self._late_rows, np.int64)] = np.array(self._late, np.int64)
        return lateness

    def _take_lateness(self) -> None:
        """The last sample is the first of its iteration, if the greenlet that has reported it has just been woken."""
        late_us = self._lateness_us.pop(gevent.getcurrent(), None)
        if late_us is not None:
            self._late_rows.append(len(self._end) - 1)
            self._late.append(late_us)

    def _take_events_of_threads(self) -> bool:
        """Record what native threads have fired; True if that was anything, because its ends are older than others."""
        waiting = len(self._from_threads)
        for _ in range(waiting):
            event = self._from_threads.popleft()
            self._record_any(event)
            if not event.is_plain:
                self._note_odd(event.describe())
        return bool(waiting)

    def _take_logged_errors(self) -> int:
        """Give every logged error to a request, or make it a sample of its own; how many are."""
        if not self._logged_errors:
            return 0
        waiting = [self._logged_errors.popleft() for _ in range(len(self._logged_errors))]
        indexes = [self._names.setdefault(each.key, len(self._names)) for each in waiting]
        texts = [self._errors.setdefault(error_text(each.error), len(self._errors)) for each in waiting]
        places = [len(self._end) if each.place is None else each.place for each in waiting]
        found = requests_of_errors(places, indexes, self._name, self._error, self._logged_requests)
        for logged, text, request in zip(waiting, texts, found, strict=True):
            if request is None:
                self._record_any(RequestEvent(logged.end, *logged.key, None, 0, None, logged.error))
            self._error[-1 if request is None else request] = text
        return found.count(None)

    def _record_any(self, event: RequestEvent) -> None:
        """Record an event whatever its values are."""
        key = (text_of(event.request_type), text_of(event.name))
        duration = _NO_TIME if (known := duration_us(event.response_time)) is None else known
        text = error_text(event.exception) if is_failure(event.exception) else None
        status, ttfb_us = self._read_guarded(event.response)
        self._add_name(self._names.setdefault(key, len(self._names)))
        self._add_error(NO_ERROR if text is None else self._errors.setdefault(text, len(self._errors)))
        self._add_status(status)
        self._add_ttfb(ttfb_us)
        self._add_bytes(size_bytes(event.response_length))
        self._add_duration(duration)
        self._add_end(event.end)

    def _read_guarded(self, response: Any) -> tuple[int, int]:
        try:
            status, ttfb_us = _NO_RESPONSE if response is None else _reader_for(type(response))(response)
            array("i", (status, ttfb_us))
        except Exception:  # noqa: BLE001  (a scenario's own response may raise anything; its event is odd)
            return _NO_RESPONSE
        return status, ttfb_us

    def _undo(self) -> None:
        """Take back what a failed `record` has added: ends are added last, so they tell how many samples there are."""
        n = len(self._end)
        for column in self._columns:
            del column[n:]

    def _note_odd(self, example: str) -> None:
        self._odd += 1
        self._odd_example = self._odd_example or example

    def _replace_odd_values(
        self, name: NDArray[np.int32], duration: NDArray[np.int64], size: NDArray[np.int64]
    ) -> tuple[tuple[str, str], ...]:
        """Clip what is out of range, in place, and return the table of names as text; note the samples concerned.

        `record` lets these pass, because looking at a whole batch at once costs a request next to nothing.
        """
        odd = np.zeros(len(name), np.bool_)
        for what, values, most in (("response_time", duration, MAX_DURATION_US), ("response_length", size, MAX_BYTES)):
            outside = (values < 0) | (values > most)
            if outside.any():
                self._odd_example = self._odd_example or f"{what} out of range: {values[outside][0]}"
                odd |= outside
            np.clip(values, 0, most, out=values)
        for at, (method, label) in enumerate(self._names):
            if not (isinstance(method, str) and isinstance(label, str)):
                self._odd_example = self._odd_example or f"request_type={error_text(method)}, name={error_text(label)}"
                odd |= name == at
        self._odd += int(np.count_nonzero(odd))
        return tuple((text_of(method), text_of(label)) for method, label in self._names)

    def _clear(self) -> None:
        for column in (*self._columns, self._late_rows, self._late):
            del column[:]
        self._logged_requests.clear()
        self._names.clear()
        self._errors.clear()
        self._odd, self._odd_example = 0, ""

    def _learn(self, kind: type[Any]) -> Reader:
        return self._readers.setdefault(kind, _reader_for(kind))

    def _error_index(self, exception: Any) -> int:
        return self._errors.setdefault(kept_error(exception), len(self._errors))

    def _make_strictly_increasing(self, end_ns: NDArray[np.int64]) -> None:
        if not len(end_ns):
            return
        steps = np.arange(len(end_ns))
        end_ns[0] = max(int(end_ns[0]), self._last_end_ns + 1)
        end_ns[:] = np.maximum.accumulate(end_ns - steps) + steps
        self._last_end_ns = int(end_ns[-1])
