"""Batch: the samples that one worker sends at once, and its form on the wire.

A batch is one blob: magic ``LSB1``, the length of a JSON header (u32), the header, then the columns, little-endian,
one after the other in the order of `COLUMNS`. Everything needed to read it is inside: request names and error texts
travel as two tables, so a batch can be decoded without any other batch. numpy decodes the columns; there is no loop.

Version 1 has no column ``late_us``. A batch of which no request has an intended start is still sent as version 1, byte
for byte as the versions of loadstone before the open model sent it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

from loadstone.domain.arrival_counts import ArrivalCounts  # noqa: TC001  (msgspec resolves it at run time)
from loadstone.domain.cut import MOST_CUT, CutRequest
from loadstone.domain.limits import (
    LAST_NS,
    MAX_BYTES,
    MAX_DURATION_US,
    MOST_BATCH_BYTES,
    MOST_SECONDS,
    Amount,
    Count,
    Duration,
    Figure,
    Id,
    Moment,
    Number,
    WorkerIndex,
    check_size,
)
from loadstone.domain.quantile import percentile_of
from loadstone.domain.request_name import RequestName
from loadstone.domain.stall import Stall  # noqa: TC001  (msgspec resolves it at run time)
from loadstone.domain.text import shortened
from loadstone.domain.time import NS_PER_S, US_PER_MS
from loadstone.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "COLUMNS_OF",
    "MOST_TEXTS",
    "NO_ERROR",
    "NO_INTENT",
    "UNTIMED",
    "Batch",
    "Columns",
    "decode_batch",
    "encode_batch",
    "no_intents",
    "seconds_of",
]

NO_ERROR: Final = -1
"""Value of the error column for a request that succeeded."""
UNTIMED: Final = -1
"""Value of the duration column for a request that was reported without a response time."""
NO_INTENT: Final = -1
"""Value of the lateness column for a request without an intended start of its own."""

COLUMNS: Final[Mapping[str, np.dtype[Any]]] = {
    "end_ns": np.dtype("<i8"),
    "duration_us": np.dtype("<i8"),
    "ttfb_us": np.dtype("<i4"),
    "bytes": np.dtype("<i8"),
    "status": np.dtype("<i4"),
    "name": np.dtype("<i4"),
    "error": np.dtype("<i4"),
    "late_us": np.dtype("<i8"),
}
_CLOSED, _OPEN = 1, 2
COLUMNS_OF: Final[Mapping[int, Mapping[str, np.dtype[Any]]]] = {
    _CLOSED: {name: dtype for name, dtype in COLUMNS.items() if name != "late_us"},
    _OPEN: COLUMNS,
}
"""The columns on the wire of each format version that can be read."""
_VERSIONS: Final = tuple(COLUMNS_OF)
_request_name = lru_cache(maxsize=8192)(RequestName)  # a run has few names and many batches
MOST_TEXTS: Final = 100_000
"""Request names, or error texts, in one batch: as many as it has samples if every URL is a name of its own."""
_MOST_LAGS: Final = 100_000
"""An hour of them."""
_MOST_STALLS: Final = 10_000
_MAGIC: Final = b"LSB1"
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Columns:
    """The samples of a batch, one array per field, all of the same length n.

    ``end_ns``: wall clock at the end, ns since 1970, strictly increasing within an incarnation. ``duration_us``:
    microseconds, -1 if the request has none. ``ttfb_us``: time to first byte in microseconds, -1 if unknown.
    ``bytes``: length of the response body. ``status``: HTTP status, 0 if there was none. ``name`` and ``error``:
    indexes into the batch's tables, error -1 is success. ``late_us``: how long after its intended start the iteration
    began whose first request this is, microseconds; `NO_INTENT` for all other requests, and under the closed model.
    """

    end_ns: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    ttfb_us: NDArray[np.int32]
    bytes: NDArray[np.int64]
    status: NDArray[np.int32]
    name: NDArray[np.int32]
    error: NDArray[np.int32]
    late_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.end_ns)

    def at(self, rows: NDArray[np.int64]) -> Columns:
        """The samples at these rows, in their order."""
        return Columns(**{name: getattr(self, name)[rows] for name in COLUMNS})

    @classmethod
    def empty(cls) -> Columns:
        """No samples."""
        return cls(**{name: np.empty(0, dtype) for name, dtype in COLUMNS.items()})

    @property
    def have_intents(self) -> bool:
        """Whether any of the requests has an intended start of its own."""
        return bool(len(self)) and int(self.late_us.max()) > NO_INTENT


def no_intents(n: int) -> NDArray[np.int64]:
    """The lateness column of n requests without an intended start."""
    return np.full(n, NO_INTENT, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one worker sends at once: its samples and its own health.

    ``incarnation`` is one life of one worker process in one run; ``seq`` counts its batches from 0 without gaps.
    ``produced`` and ``dropped`` are running totals of samples up to and including this batch; ``buffered`` is what
    waits in the worker behind this batch. ``loop_lag_us`` holds every lag of the event loop measured since the previous
    batch, so that a percentile over any window can be computed exactly. Running totals of the incarnation, too:
    ``new_connections``, ``throttled_us`` (microseconds its cgroup throttled it), ``aborted`` (requests cut off in
    flight), ``stuck`` (users killed inside a task without a request that is known), ``went_away`` (users that ended by
    themselves), ``unreported`` (requests that were sent, and whose client never fired a request event), ``lone_errors``
    (samples made of an error that was logged without a request) and ``odd`` (samples of which a value could not be
    stored and was replaced; ``odd_example`` shows one). ``cut`` describes the requests cut off since the previous
    batch, at most `MOST_CUT` of them. ``stalls``: when the event loop stood still since then. Of the worker's machine
    since then, percent, None where it does not tell: ``host_busy_pct`` and ``host_stolen_pct`` of the time of its CPUs
    (stolen: given to other virtual machines), ``host_waiting_pct`` of the time some task waited for a CPU.
    ``target_offset_ms``: how far the worker's clock is at least ahead of the target's, None without a reading.
    ``own_stream``: the stream server runs on the worker's machine, so it has the same clock. ``arrivals``: running
    totals of the incarnation under the open model, None under the closed one. ``final`` marks the last batch of an
    incarnation.
    """

    run: str
    worker: int
    incarnation: str
    seq: int
    produced: int
    dropped: int
    buffered: int
    users: int
    cpu_pct: float
    rss_bytes: int
    new_connections: int
    clock_offset_ms: float | None
    throttled_us: int
    aborted: int
    loop_lag_us: tuple[int, ...]
    sent_ns: int
    final: bool
    names: tuple[RequestName, ...]
    errors: tuple[str, ...]
    columns: Columns
    odd: int = 0
    odd_example: str = ""
    stalls: tuple[Stall, ...] = ()
    host_busy_pct: float | None = None
    host_stolen_pct: float | None = None
    host_waiting_pct: float | None = None
    target_offset_ms: float | None = None
    own_stream: bool = False
    cut: tuple[CutRequest, ...] = ()
    stuck: int = 0
    went_away: int = 0
    unreported: int = 0
    lone_errors: int = 0
    arrivals: ArrivalCounts | None = None

    @property
    def is_open(self) -> bool:
        """Whether a schedule asked for its iterations, which is the open model."""
        return self.arrivals is not None or self.columns.have_intents

    @property
    def loop_lag_p99_ms(self) -> float:
        """The 99th percentile (nearest rank) of this batch's event-loop lag, ms; 0 without a measurement."""
        return (percentile_of(self.loop_lag_us, 99) or 0) / US_PER_MS

    @property
    def longest_stall_ms(self) -> float:
        """How long the event loop stood still since the batch before, at most; 0 if it did not."""
        return max((stall.length_us for stall in self.stalls), default=0) / US_PER_MS


_KEYS: Final = {f.name: f.name for f in fields(Batch) if f.name != "columns"} | {"incarnation": "boot"}
"""Key in the header by field: version 1 calls an incarnation a boot."""


class _Version(msgspec.Struct):
    v: Any = None


class _Header(msgspec.Struct, frozen=True, gc=False):
    """The header of all versions; the fields are those of `Batch`. Method and name of a request may be any JSON.

    The first batches of version 1 did not have the fields with a default.
    """

    v: int
    n: Count
    run: Id
    worker: WorkerIndex
    seq: Number
    produced: Count
    dropped: Count
    buffered: Count
    users: Count
    cpu_pct: Figure
    rss_bytes: Number
    new_connections: Amount
    clock_offset_ms: Figure | None
    throttled_us: Amount
    aborted: Count
    loop_lag_us: Annotated[tuple[Number, ...], Meta(max_length=_MOST_LAGS)]
    sent_ns: Moment
    final: bool
    names: Annotated[tuple[tuple[Any, Any], ...], Meta(max_length=MOST_TEXTS)]
    errors: Annotated[tuple[str, ...], Meta(max_length=MOST_TEXTS)]
    incarnation: Annotated[Id, Meta(min_length=1)] = msgspec.field(name=_KEYS["incarnation"])
    odd: Count = 0
    odd_example: str = ""
    stalls: Annotated[tuple[Stall, ...], Meta(max_length=_MOST_STALLS)] = ()
    host_busy_pct: Figure | None = None
    host_stolen_pct: Figure | None = None
    host_waiting_pct: Figure | None = None
    target_offset_ms: Figure | None = None
    own_stream: bool = False
    cut: Annotated[tuple[tuple[Any, Any, Moment, Duration], ...], Meta(max_length=MOST_CUT)] = ()
    stuck: Count = 0
    went_away: Count = 0
    unreported: Count = 0
    lone_errors: Count = 0
    arrivals: ArrivalCounts | None = None


_HEADER: Final = msgspec.json.Decoder(_Header)
_VERSION: Final = msgspec.json.Decoder(_Version)


def encode_batch(batch: Batch) -> bytes:
    """The blob of a batch. Encoding an equal batch again gives identical bytes."""
    version = _OPEN if batch.columns.have_intents else _CLOSED
    header: dict[str, Any] = {key: getattr(batch, name) for name, key in _KEYS.items()}
    if batch.arrivals is None:
        del header["arrivals"]
    header["v"] = version
    header["n"] = len(batch.columns)
    head = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    columns = (np.ascontiguousarray(getattr(batch.columns, name), dtype) for name, dtype in COLUMNS_OF[version].items())
    return b"".join((_MAGIC, _LENGTH.pack(len(head)), head, *(column.tobytes() for column in columns)))


def decode_batch(blob: bytes) -> Batch:
    """The batch in a blob; long texts are shortened, durations and sizes that are too large are cut to the largest.

    Raises `FormatError` when the blob is not a batch, is truncated, has an unknown version, or holds a value that no
    worker sends (`loadstone.domain.limits`).
    """
    check_size(blob, MOST_BATCH_BYTES, "a batch")
    head, body = _split(blob)
    try:
        header = _HEADER.decode(head)
        columns = _decode_columns(body, header.n, COLUMNS_OF.get(header.v, COLUMNS))
    except (ValueError, RecursionError) as error:
        _check_version(head)
        raise FormatError(f"batch header or columns are damaged: {error}") from error
    if header.v not in _VERSIONS:
        raise _unknown_version(header.v)
    batch = Batch(columns=columns, **_typed(header))
    _check_columns(batch)
    return batch


def _check_version(head: memoryview) -> None:
    """Raise `FormatError` for a header of another version: that, and not what differs in it, is the cause then."""
    try:
        version = _VERSION.decode(head).v
    except (ValueError, RecursionError):
        return
    if version not in _VERSIONS:
        raise _unknown_version(version)


def _unknown_version(version: Any) -> FormatError:
    return FormatError(f"batch has format version {version!r}; this version reads {_CLOSED} and {_OPEN}")


def _split(blob: bytes) -> tuple[memoryview, memoryview]:
    start = len(_MAGIC) + _LENGTH.size
    if blob[: len(_MAGIC)] != _MAGIC or len(blob) < start:
        raise FormatError(f"not a batch: it begins with {bytes(blob[:4])!r}")
    (length,) = _LENGTH.unpack_from(blob, len(_MAGIC))
    view = memoryview(blob)
    return view[start : start + length], view[start + length :]


def _typed(header: _Header) -> dict[str, Any]:
    values = {name: getattr(header, name) for name in _KEYS}
    values["names"] = tuple(_request_name(_text(method), _text(name)) for method, name in header.names)
    values["errors"] = tuple(map(shortened, header.errors))
    values["odd_example"] = shortened(header.odd_example)
    values["cut"] = tuple(CutRequest(_text(method), _text(name), *rest) for method, name, *rest in header.cut)
    return values


def _text(value: Any) -> str:
    return shortened(value if isinstance(value, str) else str(value))


def _decode_columns(body: memoryview, n: int, wire: Mapping[str, np.dtype[Any]]) -> Columns:
    expected = n * sum(dtype.itemsize for dtype in wire.values())
    if len(body) != expected:
        raise ValueError(f"{len(body)} bytes of columns where {n} samples take {expected}")
    arrays: dict[str, NDArray[Any]] = {"late_us": no_intents(n)}
    offset = 0
    for name, dtype in wire.items():
        arrays[name] = np.frombuffer(body, dtype, n, offset)
        offset += n * dtype.itemsize
    if n:
        arrays["duration_us"] = _within(arrays["duration_us"], UNTIMED, MAX_DURATION_US)
        arrays["bytes"] = _within(arrays["bytes"], -MAX_BYTES, MAX_BYTES)
        if "late_us" in wire:
            arrays["late_us"] = _within(arrays["late_us"], NO_INTENT, MAX_DURATION_US)
    return Columns(**arrays)


def _within(values: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
    return values if values.min() >= low and values.max() <= high else np.clip(values, low, high)


def _check_columns(batch: Batch) -> None:
    columns = batch.columns
    if not len(columns):
        return
    if columns.end_ns.min() < 0 or columns.end_ns.max() > LAST_NS:
        raise FormatError("batch has a request that ended before 1970 or after 2261")
    if (seconds := seconds_of(columns)) > MOST_SECONDS:
        raise FormatError(
            f"batch has requests that ended in {seconds} different seconds, at most {MOST_SECONDS} may be"
        )
    if columns.name.min() < 0 or columns.name.max() >= len(batch.names):
        raise FormatError("batch refers to a request name outside its table")
    if columns.error.min() < NO_ERROR or columns.error.max() >= len(batch.errors):
        raise FormatError("batch refers to an error text outside its table")


def seconds_of(columns: Columns) -> int:
    """In how many different seconds its requests ended; ends that ascend, as they do, are not sorted again."""
    seconds = columns.end_ns // NS_PER_S
    steps = np.diff(seconds)
    return len(np.unique(seconds)) if len(steps) and steps.min() < 0 else 1 + int(np.count_nonzero(steps))
