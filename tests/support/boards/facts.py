"""The contents of a run folder for the boards' tests: requests, usage, events and workers, without loadstone's sums."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.domain.batch import Batch, decode_batch
from support.archive_reader import rows
from support.boards.values import Near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["MS", "NS", "Facts", "Figures", "FiguresOfWindow", "Request", "Tick", "by_service", "kind_of"]

NS: Final = 1_000_000_000
MS: Final = 1_000_000


class Request(NamedTuple):
    """One row of requests.parquet; ``service_ms`` is None under the closed model."""

    end_ns: int
    rt_ms: float
    ok: bool
    status: int
    error: str | None
    size: int
    method: str
    name: str
    worker: str
    ttfb_ms: float | None
    service_ms: float | None

    @property
    def sent_ns(self) -> int:
        """When it was sent, which under the open model may be after its intended start."""
        return self.end_ns - round((self.rt_ms if self.service_ms is None else self.service_ms) * MS)


class Tick(NamedTuple):
    """One row of usage.parquet; percentages are of the limit, and None without a limit."""

    at_ns: int
    service: str
    container: str
    cpu_cores: float
    cpu_limit: float | None
    cpu_pct: float | None
    throttled_pct: float | None
    mem_bytes: int
    mem_limit: int | None
    mem_pct: float | None
    rx_bps: float | None
    tx_bps: float | None
    oom: int


class WorkerPoint(NamedTuple):
    """A worker's own statistics in one batch, the number of its samples stored by then, and how late iterations began.

    ``late_us`` are those since the point before.
    """

    at_ns: int
    worker: str
    batch: Batch
    stored: int
    arrived_ms: int
    late_us: tuple[int, ...]


class Figures:
    """Counts and response times (ms) of a list of requests."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.n = len(requests)
        self.err = sum(not each.ok for each in requests)
        self._times = np.array([each.rt_ms for each in requests])

    @property
    def total_ms(self) -> float:
        """Sum of response times."""
        return float(self._times.sum())

    @property
    def mean(self) -> float | None:
        """Mean response time; None without requests."""
        return self.total_ms / self.n if self.n else None

    @property
    def longest(self) -> float | None:
        """Longest response time; None without requests."""
        return float(self._times.max()) if self.n else None

    @property
    def failed_pct(self) -> float:
        """Percentage of failed requests; InfluxQL returns 0 for 0/0."""
        return 100 * self.err / self.n if self.n else 0.0

    def percentile(self, percent: float) -> Near | None:
        """A percentile by nearest rank; None without requests."""
        return Near(float(np.percentile(self._times, percent, method="inverted_cdf"))) if self.n else None

    def percentiles(self, *percents: int) -> dict[str, Near | None]:
        """Percentiles as columns."""
        return {f"p{percent}": self.percentile(percent) for percent in percents}

    def within(self, limit_ms: float) -> int:
        """Return how many took at most ``limit_ms``."""
        return int((self._times <= limit_ms).sum())


class FiguresOfWindow(Figures):
    """The same of a window, whose latencies also count requests in flight, where those make them longer."""

    def __init__(self, requests: Sequence[Request], in_flight_ms: Sequence[float]) -> None:
        super().__init__(requests)
        self._all = np.concatenate([self._times, np.array(in_flight_ms, np.float64)])

    @property
    def mean(self) -> float | None:
        return max(super().mean or 0.0, float(self._all.mean())) if self.n else None

    def percentile(self, percent: float) -> Near | None:
        answered = super().percentile(percent)
        if answered is None:
            return None
        return Near(max(answered.value, float(np.percentile(self._all, percent, method="inverted_cdf"))))


class Facts:
    """One closed run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document: dict[str, Any] = json.loads((folder / "run.json").read_text())
        self.id: str = self.document["id"]

    @cached_property
    def requests(self) -> list[Request]:
        """All requests, sorted by end."""
        read = [
            Request(
                row["end"],
                row["rt_us"] / 1000,
                row["ok"],
                row["status"] or 0,
                row["error"],
                row["bytes"],
                row["method"],
                row["name"],
                str(row["worker"]),
                None if row["ttfb_us"] is None else row["ttfb_us"] / 1000,
                row["service_us"] / 1000 if "service_us" in row else None,
            )
            for row in rows(self.folder / "requests.parquet")
        ]
        return sorted(read)

    @cached_property
    def usage(self) -> list[Tick]:
        """All rows of usage."""
        return [
            Tick(
                row["at"],
                row["service"],
                row["container"],
                row["cpu_cores"],
                row["cpu_limit"],
                _share(row["cpu_cores"], row["cpu_limit"]),
                row["throttled_pct"],
                row["mem_bytes"],
                row["mem_limit"],
                _share(row["mem_bytes"], row["mem_limit"]),
                row["rx_bps"],
                row["tx_bps"],
                row["oom"],
            )
            for row in rows(self.folder / "usage.parquet")
        ]

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """All events, in order."""
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]

    @cached_property
    def workers(self) -> list[WorkerPoint]:
        """At most one point per second for each incarnation, and its last one, in the order of the batches."""
        seen: set[tuple[str, int]] = set()
        stored: dict[str, int] = defaultdict(int)
        newest: dict[str, int] = {}
        late: dict[str, list[int]] = defaultdict(list)
        found = []
        for entry in read_journal(RunFolder(self.folder).journal):
            if entry.kind is not EntryKind.SAMPLES:
                continue
            batch = decode_batch(entry.blob)
            if (batch.incarnation, batch.seq) in seen:
                continue
            seen.add((batch.incarnation, batch.seq))
            stored[batch.incarnation] += len(batch.columns)
            late[batch.incarnation] += [each for each in batch.columns.late_us.tolist() if each >= 0]
            if batch.final or newest.get(batch.incarnation) != batch.sent_ns // NS:
                newest[batch.incarnation] = batch.sent_ns // NS
                arrived_ms = int(entry.stream_id.partition("-")[0])
                counted = stored[batch.incarnation], arrived_ms, tuple(late.pop(batch.incarnation))
                found.append(WorkerPoint(batch.sent_ns, str(batch.worker), batch, *counted))
        return found

    def in_flight_ms(
        self, start_ns: int, end_ns: int, of: Callable[[Iterable[Request]], Iterable[Request]] = iter
    ) -> list[float]:
        """How long those requests took that were in flight at the end of a window or cut off in it, at least.

        ``of`` may change the requests.
        """
        later = [each.rt_ms for each in of(self.requests) if each.sent_ns < end_ns <= each.end_ns]
        entries = (each for each in read_journal(RunFolder(self.folder).journal) if each.kind is EntryKind.SAMPLES)
        batches = {(batch.incarnation, batch.seq): batch for batch in (decode_batch(each.blob) for each in entries)}
        cut = [each for batch in batches.values() for each in batch.cut]
        return later + [each.age_us / 1000 for each in cut if each.start_ns < end_ns and each.cut_ns >= start_ns]

    def spans(self, requests: Iterable[Request], width_s: float) -> dict[int, list[Request]]:
        """Group requests by the start (ns) of the time bucket in which they ended."""
        width_ns = int(width_s * NS)
        found: dict[int, list[Request]] = defaultdict(list)
        for each in requests:
            found[each.end_ns - each.end_ns % width_ns].append(each)
        return found


def by_service(requests: Iterable[Request]) -> list[Request]:
    """The same requests with their service times as durations: none under the closed model."""
    return [each._replace(rt_ms=each.service_ms) for each in requests if each.service_ms is not None]


def kind_of(request: Request) -> str:
    """The kind of a failure, as docs/reference/measurements.md defines it."""
    if request.status >= 400:
        return f"http_{request.status}"
    name = (request.error or "").partition("(")[0]
    return name if "(" in (request.error or "") and name.replace(".", "").isidentifier() else "other"


def _share(used: float, limit: float | None) -> float | None:
    return 100 * used / limit if limit else None
