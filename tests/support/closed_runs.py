"""Closed runs out of nothing, seeded: as large, as long and with as many names as a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.batch import NO_ERROR, Columns, no_intents
from loadstone.domain.event import EventKind
from loadstone.domain.request_name import RequestName
from loadstone.domain.usage_tick import Usage
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, write_journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry
from loadstone.domain.batch import Batch

HOSTILE = "<script>alert(1)</script>"
SCENARIO = {"files": ["scenario.py"], "digest": "sha256:0", "git_revision": None, "user_classes": ["U"], "shape": None}


def closed(path: Path, entries: Sequence[Entry], seconds: float) -> RunFolder:
    """The folder of a run with these entries, closed five seconds after so many of them."""
    folder = RunFolder(path).create()
    write_journal(folder.journal, entries)
    close_run(folder, now_ns=START + int((seconds + 5) * SECOND))
    return folder


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """What a run is to be: ``rate`` samples a second for ``seconds``, log-normal around ``median_ms``.

    Each second comes in ``batches_a_second`` batches. With ``late_ms`` it is one of the open model: each request is the
    first one of an iteration that began so late, and ``not_sent`` further arrivals were not sent. ``shared`` is what
    the event says that shares arrivals out.
    """

    run: str = "20260920-120000-aaaa"
    seconds: int = 20
    rate: int = 40
    batches_a_second: int = 1
    names: Sequence[tuple[str, str]] = (("GET", "/"), ("POST", "/predict"))
    median_ms: float = 20.0
    sigma: float = 0.5
    slower: float = 1.0
    failure_share: float = 0.01
    error: str = "HTTP 503"
    seed: int = 1
    usage: bool = True
    users: int = 5
    late_ms: float | None = None
    not_sent: int = 0
    shared: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    objectives: Sequence[str] = ("p95<500ms", "failures<=5%")

    def close(self, results: Path) -> RunFolder:
        """Write and close it."""
        return closed(results / self.run, self.entries(), self.seconds)

    def entries(self) -> list[Entry]:
        """Its journal."""
        maker = RunMaker(run=self.run)
        identity: dict[str, Any] = {"scenario": SCENARIO, "limits": None, "target": None, "users": self.users}
        maker.started(objectives=list(self.objectives), **(identity | self.identity))
        if self.shared:
            maker.event(EventKind.ARRIVALS_SHARED, 0, **self.shared)
        self._add_samples(maker)
        requests = self.seconds * self.rate
        maker.event(EventKind.STAGE, self.seconds / 2, users=self.users, before=1)
        return maker.stopped(self.seconds, requests=requests).entries

    def columns(self, second: int, rng: np.random.Generator) -> Columns:
        """The samples that end in one second."""
        n = self.rate
        ends = START + second * SECOND + np.arange(n, dtype=np.int64) * (SECOND // max(1, n))
        durations = rng.lognormal(np.log(self.median_ms * 1000), self.sigma, n) * self.slower
        failed = rng.random(n) < self.failure_share
        return Columns(
            end_ns=ends,
            duration_us=durations.astype(np.int64),
            ttfb_us=np.full(n, -1, np.int32),
            bytes=np.full(n, 100, np.int64),
            status=np.where(failed, 503, 200).astype(np.int32),
            name=(np.arange(n) % max(1, len(self.names))).astype(np.int32),
            error=np.where(failed, 0, NO_ERROR).astype(np.int32),
            late_us=no_intents(n) if self.late_ms is None else np.full(n, round(self.late_ms * 1000), np.int64),
        )

    def _add_samples(self, maker: RunMaker) -> None:
        rng, incarnation = np.random.default_rng(self.seed), IncarnationMaker(run=self.run)
        for second in range(self.seconds):
            if self.rate:
                for columns in _parts(self.columns(second, rng), self.batches_a_second):
                    incarnation.produced += len(columns)
                    maker.add(self._batch(incarnation, columns, second))
            if self.usage:
                maker.usage(second + 0.5, _usage(second))
        arrivals = self._arrivals(incarnation.produced)
        maker.add(incarnation.batch(at_s=self.seconds + 0.1, final=True, arrivals=arrivals))

    def _arrivals(self, sent: int) -> ArrivalCounts | None:
        return None if self.late_ms is None else ArrivalCounts(sent + self.not_sent, sent, self.not_sent)

    def _batch(self, incarnation: IncarnationMaker, columns: Columns, second: int) -> Batch:
        return replace(
            incarnation.batch(at_s=second + 1),
            arrivals=self._arrivals(incarnation.produced),
            columns=columns,
            names=tuple(RequestName(*name) for name in self.names),
            errors=(self.error,),
        )


def _parts(columns: Columns, count: int) -> Iterator[Columns]:
    names = [each.name for each in fields(Columns)]
    for at in np.array_split(np.arange(len(columns)), count):
        yield Columns(**{name: getattr(columns, name)[at] for name in names})


def _usage(second: int) -> Usage:
    return Usage(
        service="target",
        container="target-1",
        cpu_cores=0.5 + 0.1 * (second % 5),
        cpu_limit=2.0,
        throttled_pct=float(second % 3),
        mem_bytes=200_000_000 + second * 1_000_000,
        mem_limit=512_000_000,
    )


def names(count: int) -> list[tuple[str, str]]:
    """That many request names."""
    return [("GET", f"/item/{number}") for number in range(count)]
