"""Admission: which entries may have an effect on a run, and what becomes of the others.

An entry is taken when it proves its run (`loadstone.stream.proof`), can be decoded, and its run is open. A closed run
takes only what its archive says is missing: batches of an incarnation that never sent its last one, events of a worker
that never did or of a master whose end is unknown, and exceptions where Locust counted more. Everything else becomes a
dead letter with the reason, is counted and logged, and changes nothing.

An entry may come before the secret of its run, when only the master cannot reach Redis. It waits, unacknowledged, for
half a minute.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder, valid_run_id
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.lifecycle import Lifecycle
from loadstone.domain.batch import Batch
from loadstone.domain.event import Event, ExceptionRaised, Exited, Orphaned, WorkerQuit
from loadstone.domain.live import Trouble
from loadstone.errors import ArchiveError, FormatError
from loadstone.stream.client import add_dead_letter
from loadstone.stream.inbox import LONGEST_ENTRY
from loadstone.stream.keys import DEAD_LETTERS, EVENTS, SAMPLES, USAGE
from loadstone.stream.proof import RunSecrets

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from loadstone.archive.journal.entry import Content
    from loadstone.archive.run_record import RunRecord
    from loadstone.domain.event import Payload
    from loadstone.domain.time import Clock
    from loadstone.stream.consumer import StreamEntry

__all__ = ["KINDS", "Admission", "RefusedError"]

KINDS: Final = {EVENTS: EntryKind.EVENTS, SAMPLES: EntryKind.SAMPLES, USAGE: EntryKind.USAGE}
"""What the entries of each stream become in a journal."""
_PATIENCE_S: Final = 30.0
"""A sender of the hook tries again after 7.5 s at most, so a master that can reach Redis has written its secret."""
_FORGOTTEN_AFTER_S: Final = 60.0
_MOST_WAITING: Final = 100
_LOOK_EVERY_S: Final = 1.0
_MOST_DEAD_LETTERS: Final = 1000
_MOST_SAID, _SAID_EVERY_S = 10, 10.0
_TOLD_FOR_S: Final = 60.0
_CLOSED_KNOWN: Final = 8
_OF_OLDER_VERSION: Final = (
    "it has no proof of its run: an older version of loadstone sent it, and runs must be finished before an update"
)
_FROM_WORKERS: Final = (ExceptionRaised, Exited, Orphaned, WorkerQuit)
log = logging.getLogger("loadstone.aggregator")


class RefusedError(Exception):
    """An entry may have no effect; the text says why."""


class Admission:
    """Decides about one entry after another. Methods raise `loadstone.stream.client.FAILURES`.

    ``waiting``: runs of which an entry came before their secret, and since when, until that entry can be read again.
    ``refused``: the dead letters of this Aggregator.
    """

    def __init__(self, client: Redis, results: Path, clock: Clock) -> None:
        self._client = client
        self._results = results
        self._clock = clock
        self._secrets = RunSecrets(client)
        self._looked_at_s = self._said_since_s = clock.monotonic_s()
        self._said = 0
        self._reason, self._since_ns, self._refused_at_s = "", 0, -_TOLD_FOR_S
        self._given_up: dict[str, float] = {}
        self.waiting: dict[str, float] = {}
        self.refused = 0

    def content(self, entry: StreamEntry) -> Content | None:
        """What a proven entry holds; None while its run has no secret. Raises `RefusedError`."""
        if entry.stream != USAGE and not self._is_proven(entry):
            return None
        try:
            content = decode_entry(KINDS[entry.stream], entry.blob)
        except FormatError as error:
            raise RefusedError(str(error)) from error
        if isinstance(content, Batch | Event) and content.run != entry.run:
            raise RefusedError(f"it says that it is of run {content.run[:100]!r}, and was sent as one of {entry.run!r}")
        return content

    def check_open(self, run: str, content: Content) -> None:
        """Raise `RefusedError` if a run, which the Aggregator does not have open, is closed and does not lack this."""
        folder = RunFolder(self._results / run)
        if not folder.is_closed:
            return
        try:
            lacks = _lacks(folder, content)
        except ArchiveError as error:
            raise RefusedError(f"its run is closed: {error}") from error
        if not lacks:
            raise RefusedError("its run is closed")

    def refuse(self, entry: StreamEntry, reason: str) -> None:
        """Put an entry aside for good."""
        add_dead_letter(self._client, DEAD_LETTERS, entry, reason, entry.blob, most=_MOST_DEAD_LETTERS)
        self.refused += 1
        now_s = self._clock.monotonic_s()
        if now_s - self._refused_at_s >= _TOLD_FOR_S:
            self._since_ns = self._clock.now_ns()
        self._reason, self._refused_at_s = reason, now_s
        self._say(entry, now_s)

    def may_read_again(self) -> bool:
        """Whether an entry that waits for a secret can be decided by now; looked up at most once a second."""
        now_s = self._clock.monotonic_s()
        if not (self.waiting or self._given_up) or now_s - self._looked_at_s < _LOOK_EVERY_S:
            return False
        self._looked_at_s = now_s
        late = {run: now_s for run, since_s in self.waiting.items() if now_s - since_s >= _PATIENCE_S}
        decided = {run for run in self.waiting if run in late or self._secrets.find(run)}
        self.waiting = {run: since_s for run, since_s in self.waiting.items() if run not in decided}
        self._given_up = {run: at_s for run, at_s in self._given_up.items() if now_s - at_s < _FORGOTTEN_AFTER_S} | late
        return bool(decided)

    def opened(self, run: str) -> None:
        """A run is open, for the first time or again: its secret is needed until it is closed."""
        self._secrets.keep(run)

    def closed(self, run: str) -> None:
        """A run is closed: its secret is kept for as long as something of it may be missing."""
        self._secrets.expire(run)

    def troubles(self) -> tuple[Trouble, ...]:
        """That entries were refused within the last minute, if any were."""
        if self._clock.monotonic_s() - self._refused_at_s >= _TOLD_FOR_S:
            return ()
        text = (
            f"{self.refused} entries were refused, the last one because: {self._reason}."
            f" They are in the stream {DEAD_LETTERS} of Redis and count nowhere"
        )
        return (Trouble(part="streams", text=text, since_ns=self._since_ns),)

    def _is_proven(self, entry: StreamEntry) -> bool:
        if not entry.run:
            raise RefusedError(f"it has not the form of an entry, or more than {LONGEST_ENTRY >> 20} MiB")
        if not valid_run_id(entry.run):
            raise RefusedError(f"{entry.run[:100]!r} is not the id of a run")
        if not entry.mac:
            raise RefusedError(_OF_OLDER_VERSION)
        secret = self._secrets.find(entry.run)
        if secret is None:
            self._wait(entry.run)
            return False
        if not secret.proves(entry):
            raise RefusedError("it does not prove that it belongs to its run and stream")
        return True

    def _wait(self, run: str) -> None:
        if run in self._given_up or (run not in self.waiting and len(self.waiting) >= _MOST_WAITING):
            raise RefusedError("no master has opened its run")
        self.waiting.setdefault(run, self._clock.monotonic_s())

    def _say(self, entry: StreamEntry, now_s: float) -> None:
        if now_s - self._said_since_s >= _SAID_EVERY_S:
            self._said_since_s, self._said = now_s, 0
        self._said += 1
        if self._said <= _MOST_SAID:
            log.error(
                "stream=%s id=%s run=%r dead_letter=yes refused=%d reason=%r",
                *(entry.stream, entry.id, entry.run[:100], self.refused, self._reason),
            )


def _lacks(folder: RunFolder, content: Content) -> bool:
    """Whether a closed run says of itself that it lacks this: what it does not have must not be refused.

    The events of a worker and its batches come in any order. Raises `ArchiveError`.
    """
    state = folder.closed_state
    record = _closed(folder, state).record
    if isinstance(content, Batch):
        return not any(each.final and each.incarnation == content.incarnation for each in record.incarnations)
    if isinstance(content, Event) and _lacks_of_worker(record, content.payload):
        return True
    return _lacks_end(folder, state)


def _lacks_of_worker(record: RunRecord, payload: Payload) -> bool:
    """Whether this is of a worker that never ended properly, or an exception of which Locust counted more."""
    if not isinstance(payload, _FROM_WORKERS) or payload.worker is None:
        return False
    counted = record.locust.exceptions if record.locust and isinstance(payload, ExceptionRaised) else None
    has_ended = any(each.final and each.worker == payload.worker for each in record.incarnations)
    return not has_ended or record.exceptions < (counted or 0)


@lru_cache(maxsize=_CLOSED_KNOWN)
def _closed(folder: RunFolder, _state: tuple[int, ...]) -> ClosedRun:
    """A closed run, read once for each state of its run.json."""
    return ClosedRun.open(folder)


@lru_cache(maxsize=_CLOSED_KNOWN)
def _lacks_end(folder: RunFolder, state: tuple[int, ...]) -> bool:
    """Whether nobody has told the end of a closed run."""
    lifecycle = Lifecycle()
    for event in _closed(folder, state).events():
        lifecycle.apply(event)
    return lifecycle.stopped_ns is None or not lifecycle.exit_known
