"""InfluxFeed: what the Aggregator does for the InfluxWriters, when there are any.

It keeps their consumer group, publishes ready points to the stream `points`, trims the streams when Redis is half full
while InfluxDB is unavailable, and updates the InfluxDB ledger of closed runs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import redis

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.finalize.closing import set_influx_ledger
from loadstone.archive.folder import RunFolder
from loadstone.domain.live import InfluxLedger
from loadstone.errors import ArchiveError
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.name_cap import publish_names
from loadstone.influx.trouble import read_first_rejected, read_trouble
from loadstone.stream.client import add
from loadstone.stream.consumer import Consumer, first_unfinished, order, trim_finished
from loadstone.stream.keys import (
    AGGREGATORS,
    BACKFILL_QUEUE,
    INFLUX_CUT,
    INFLUX_OPEN,
    KEPT_S,
    POINTS,
    SAMPLES,
    WRITERS,
    admitted_names,
)
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from redis import Redis

    from loadstone.archive.run_record import InfluxLedgerRecord
    from loadstone.domain.live import Trouble
    from loadstone.domain.request_name import NameTable
    from loadstone.influx.ledger import SharedLedger

__all__ = ["InfluxFeed", "forget_writers", "is_drained"]

_LINES_AN_ENTRY: Final = 5000
_HALF: Final = 0.5
_LEDGER_EVERY_S: Final = 1.0
log = logging.getLogger("loadstone.aggregator")


def is_drained(client: Redis, run: str) -> bool:
    """Whether InfluxDB has everything of a closed run, except what it rejected."""
    return not client.sismember(INFLUX_OPEN, run)


def forget_writers(client: Redis) -> None:
    """Remove the writers' group where there is no InfluxDB any more: it would keep the streams from being cut."""
    for stream in (SAMPLES, POINTS):
        with contextlib.suppress(redis.ResponseError):
            if client.xgroup_destroy(stream, WRITERS):
                log.warning("group=%s stream=%s removed=yes hint='loadstone influx backfill RUN'", WRITERS, stream)
    runs: Any = client.smembers(INFLUX_OPEN)
    for run in runs:
        client.expire(admitted_names(run.decode()), KEPT_S)
    client.delete(POINTS, INFLUX_OPEN, INFLUX_CUT, BACKFILL_QUEUE)


class InfluxFeed:
    """What the Aggregator does for the writers; see the module. Methods raise `loadstone.stream.client.FAILURES`."""

    def __init__(self, client: Redis, ledger: SharedLedger, results: Path) -> None:
        self._client = client
        self._ledger = ledger
        self._results = results
        self._backfills = BackfillQueue(client)
        self._looked_at_s = 0.0
        self._written: dict[str, InfluxLedgerRecord] = {}
        self._names_published: dict[str, int] = {}

    def join(self) -> None:
        """Create the writers' group, so that nothing is cut before the first of them has read it."""
        Consumer(self._client, WRITERS, "aggregator", (SAMPLES, POINTS)).join()

    def opened(self, run: str) -> int:
        """Note an open run. Returns up to which of its journal's entries its points were published."""
        command_when_full(self._client, INFLUX_OPEN, "SADD", INFLUX_OPEN, run)
        return self._ledger.read(run).position

    def publish_names(self, run: str, names: NameTable) -> None:
        """Let the writers know of the names that were admitted since the last call; the journal has their entries."""
        if self._names_published.get(run) != len(names):
            publish_names(self._client, run, names)
            self._names_published[run] = len(names)

    def publish(self, run: str, lines: Sequence[str], position: int) -> None:
        """Put lines on the stream and note up to which journal entry that is done, both or none."""
        if not lines:
            return
        pipeline = self._client.pipeline(transaction=True)
        for start in range(0, len(lines), _LINES_AN_ENTRY):
            part = lines[start : start + _LINES_AN_ENTRY]
            add(pipeline, POINTS, "\n".join(part).encode(), run=run)
        self._ledger.note_published(pipeline, run, len(lines), position)
        pipeline.execute()

    def closed(self, run: str) -> None:
        """Note a closed run whose points are all published; if its entries were ever cut, it is backfilled again."""
        if self._client.sismember(INFLUX_CUT, run):
            self._backfills.add([run])
            self._client.srem(INFLUX_CUT, run)

    def note_cut(self, run: str) -> None:
        """Note that a run has to be backfilled when it has closed."""
        command_when_full(self._client, INFLUX_CUT, "SADD", INFLUX_CUT, run)

    def trim(self) -> None:
        """Cut the streams behind the writers; above half of Redis' memory, cut everything that the archive holds."""
        for stream in (SAMPLES, POINTS):
            trim_finished(self._client, stream)
        if self._is_half_full() and self._writers_lag():
            self._relieve()

    def look_at_ledgers(self, busy: Collection[str] = ()) -> None:
        """Bring run.json of closed runs up to date, at most once a second.

        ``busy`` runs still receive entries or have last points to publish, so InfluxDB cannot have all of them yet.
        """
        if time.monotonic() - self._looked_at_s < _LEDGER_EVERY_S:
            return
        self._looked_at_s = time.monotonic()
        for run in sorted(set(self._open_runs()) - set(busy)):
            folder = RunFolder(self._results / run)
            if not folder.path.is_dir():
                self._forget(run)
            elif folder.is_closed:
                self._update(folder)

    def live(self, run: str, produced: int, now_ns: int) -> tuple[InfluxLedger, tuple[Trouble, ...]]:
        """The InfluxDB ledger as it is now, when the archive holds ``produced`` samples, and what is wrong with it."""
        now = self._ledger.read(run)
        ledger = InfluxLedger(stored=now.stored, rejected=now.rejected, pending=now.pending(produced))
        trouble = read_trouble(self._client)
        told = trouble.as_live(ledger.pending, now_ns) if trouble else None
        first = read_first_rejected(self._client, run) if now.rejected or now.points_rejected else None
        rejected = first.as_live(now.rejected, now.points_rejected, ledger.stored) if first else None
        return ledger, tuple(each for each in (told, rejected) if each)

    def _update(self, folder: RunFolder) -> None:
        ledger = self._ledger.read(folder.run)
        try:
            now = self._ledger.record(folder.run, ClosedRun.open(folder).record.ledgers.archive.stored)
            if self._written.get(folder.run) != now:
                with folder.lock():
                    set_influx_ledger(folder, now)
                self._written[folder.run] = now
        except ArchiveError as error:
            log.warning("run=%s influx_ledger=not_written reason=%r", folder.run, str(error))
            return
        if not now.pending and not ledger.points_pending and folder.run not in self._backfills:
            self._forget(folder.run)
            log.info("run=%s influx=complete stored=%d rejected=%d", folder.run, now.stored, now.rejected)

    def _forget(self, run: str) -> None:
        self._client.srem(INFLUX_OPEN, run)
        self._client.srem(INFLUX_CUT, run)
        self._client.expire(admitted_names(run), KEPT_S)
        self._written.pop(run, None)
        self._names_published.pop(run, None)

    def _open_runs(self) -> list[str]:
        members: Any = self._client.smembers(INFLUX_OPEN)
        return sorted(member.decode() for member in members)

    def _is_half_full(self) -> bool:
        info: Any = self._client.info("memory")
        limit = info.get("maxmemory") or info.get("total_system_memory") or 0
        return bool(limit) and info["used_memory"] > _HALF * limit

    def _writers_lag(self) -> bool:
        """Whether there are entries left that the archive holds: those that the writers have finished too are cut.

        The writers' position does not tell: it stays behind entries that were cut before a writer read them.
        """
        archived = first_unfinished(self._client, SAMPLES, AGGREGATORS)
        oldest: Any = self._client.xrange(SAMPLES, count=1)
        return archived is not None and bool(oldest) and order(oldest[0][0].decode()) < order(archived)

    def _relieve(self) -> None:
        """Cut the streams up to what the journal holds; the writers backfill from there."""
        runs = self._open_runs()
        self._backfills.add(runs)
        if runs:
            command_when_full(self._client, INFLUX_CUT, "SADD", INFLUX_CUT, *runs)
        before = self._client.xlen(SAMPLES)
        self._client.xtrim(SAMPLES, minid=first_unfinished(self._client, SAMPLES, AGGREGATORS), approximate=False)
        self._client.xtrim(POINTS, maxlen=0, approximate=False)
        cut = int(str(before)) - int(str(self._client.xlen(SAMPLES)))
        log.error("state=half_full cut_entries=%d nothing_lost=yes action='backfill from the journal'", cut)
