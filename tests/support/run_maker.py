"""Makes runs out of nothing: batches, events and usage ticks as workers, master and sampler would send them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.journal.writer import JournalWriter
from loadstone.domain.batch import NO_ERROR, NO_INTENT, Batch, Columns, encode_batch
from loadstone.domain.event import Event, EventKind, encode_event, payload_of
from loadstone.domain.request_name import RequestName
from loadstone.domain.usage_tick import Balance, Usage, UsageTick, encode_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["SECOND", "START", "IncarnationMaker", "RunMaker", "Sample", "samples", "write_journal"]

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


@dataclass(frozen=True)
class Sample:
    """One request; ``end_s`` counts from `START`."""

    end_s: float
    duration_us: int = 1000
    name: tuple[str, str] = ("GET", "/")
    error: str | None = None
    status: int = 200
    bytes: int = 10
    ttfb_us: int = -1
    late_us: int = NO_INTENT

    @property
    def end_ns(self) -> int:
        return START + round(self.end_s * SECOND)


def samples(count: int, from_s: float, to_s: float, **changes: Any) -> list[Sample]:
    """Samples that end at equal distances in ``from_s <= end < to_s``."""
    return [Sample(from_s + (to_s - from_s) * number / count, **changes) for number in range(count)]


def columns_of(taken: Sequence[Sample]) -> tuple[Columns, tuple[RequestName, ...], tuple[str, ...]]:
    """Columns and the two tables."""
    names = list(dict.fromkeys(sample.name for sample in taken))
    errors = list(dict.fromkeys(sample.error for sample in taken if sample.error is not None))
    columns = Columns(
        end_ns=np.array([s.end_ns for s in taken], np.int64),
        duration_us=np.array([s.duration_us for s in taken], np.int64),
        ttfb_us=np.array([s.ttfb_us for s in taken], np.int32),
        bytes=np.array([s.bytes for s in taken], np.int64),
        status=np.array([s.status for s in taken], np.int32),
        name=np.array([names.index(s.name) for s in taken], np.int32),
        error=np.array([NO_ERROR if s.error is None else errors.index(s.error) for s in taken], np.int32),
        late_us=np.array([s.late_us for s in taken], np.int64),
    )
    return columns, tuple(RequestName(*name) for name in names), tuple(errors)


@dataclass
class IncarnationMaker:
    """One incarnation of one worker; counts its batches and totals as the Shipper does."""

    worker: int = 0
    incarnation: str = ""
    run: str = "r"
    seq: int = 0
    produced: int = 0
    dropped: int = 0

    def __post_init__(self) -> None:
        self.incarnation = self.incarnation or f"boot-{self.worker}"

    def batch(self, taken: Sequence[Sample] = (), *, at_s: float | None = None, **changes: Any) -> Batch:
        """The next batch, made ``at_s`` after `START` (default: at the end of its last sample)."""
        columns, names, errors = columns_of(taken)
        self.produced += len(taken)
        sent_ns = taken[-1].end_ns if at_s is None else START + round(at_s * SECOND)
        values: dict[str, Any] = {
            "run": self.run,
            "worker": self.worker,
            "incarnation": self.incarnation,
            "seq": self.seq,
            "produced": self.produced,
            "dropped": self.dropped,
            "buffered": 0,
            "users": 5,
            "cpu_pct": 20.0,
            "rss_bytes": 50_000_000,
            "new_connections": 5,
            "clock_offset_ms": 0.5,
            "throttled_us": 0,
            "aborted": 0,
            "loop_lag_us": (100,) * 10,
            "sent_ns": sent_ns,
            "final": False,
        }
        self.seq += 1
        return Batch(names=names, errors=errors, columns=columns, **(values | changes))


@dataclass
class RunMaker:
    """The entries of one run, in the order in which they were made."""

    run: str = "r"
    entries: list[Entry] = field(default_factory=list)
    events: int = 0
    ticks: int = 0
    requests: int = 0
    failures: int = 0

    def add(self, batch: Batch) -> RunMaker:
        """A batch as it is."""
        self.entries.append(Entry(EntryKind.SAMPLES, f"s-{len(self.entries)}", encode_batch(batch)))
        self.requests += len(batch.columns)
        self.failures += int(np.count_nonzero(batch.columns.error != NO_ERROR))
        return self

    def event(self, kind: EventKind, at_s: float, **data: Any) -> RunMaker:
        """An event ``at_s`` after `START`."""
        at_ns = START + round(at_s * SECOND)
        payload = payload_of(kind, data)
        event = Event(run=self.run, at_ns=at_ns, source="master", seq=self.events, payload=payload)
        self.events += 1
        self.entries.append(Entry(EntryKind.EVENTS, f"e-{len(self.entries)}", encode_event(event)))
        return self

    def usage(self, at_s: float, *rows: Usage, balances: tuple[Balance, ...] = (), problem: str = "") -> RunMaker:
        """A usage tick ``at_s`` after `START`."""
        at_ns = START + round(at_s * SECOND)
        tick = UsageTick(at_ns=at_ns, source="psutil", seq=self.ticks, rows=rows, balances=balances, problem=problem)
        self.ticks += 1
        self.entries.append(Entry(EntryKind.USAGE, f"u-{len(self.entries)}", encode_usage(tick)))
        return self

    def started(self, at_s: float = 0, *, workers: Iterable[int] = (0,), **identity: Any) -> RunMaker:
        """Start, roster and ramp done, all at the same moment."""
        roster = list(workers)
        defaults = {"users": 5 * len(roster), "spawn_rate": 5, "host": "http://target", "workers": len(roster)}
        self.event(EventKind.STARTED, at_s, **(defaults | identity))
        self.event(EventKind.ROSTER, at_s, workers=roster)
        self.event(EventKind.RAMP_DONE, at_s, users=defaults["users"])
        return self.event(EventKind.USERS, at_s, users=5, target_users=5, workers=len(roster))

    def stopped(self, at_s: float, *, requests: int | None = None, **totals: Any) -> RunMaker:
        """Stopping and stopped at the same moment; Locust has counted what was added, unless told otherwise."""
        self.event(EventKind.STOPPING, at_s)
        counted = {"requests": self.requests if requests is None else requests, "failures": self.failures}
        return self.event(EventKind.STOPPED, at_s, **(counted | totals))


def write_journal(folder: Path, entries: Iterable[Entry]) -> None:
    """A closed journal of these entries."""
    writer = JournalWriter(folder)
    for entry in entries:
        writer.append(*entry)
    writer.close()
