"""What keeps the Aggregator from its work: since when, for live snapshots, and for the runs when it is over.

`StorageWatch` is about the disk of the results, `WaitingRuns` about runs whose folders cannot be opened.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from loadstone.archive.run_state import RunState
from loadstone.collector.live.snapshot import latest_live, snapshot
from loadstone.domain.event import Event, StorageFailed
from loadstone.domain.live import Trouble
from loadstone.domain.time import NS_PER_S
from loadstone.errors import FormatError
from loadstone.stream.client import FAILURES
from loadstone.stream.keys import STORAGE_TROUBLE
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from loadstone.archive.journal.entry import Content
    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock

__all__ = ["ARCHIVE", "PUT_BACK", "StorageWatch", "WaitingRuns", "storage_event"]

ARCHIVE: Final = "archive"
"""How people call the part that is in trouble."""
PUT_BACK: Final = (
    "the journal of this run had been deleted or moved by something else; it was written again as a whole. "
    "Leave the folder of results alone during a run"
)
_SHOWN_NS: Final = 8 * NS_PER_S
"""For how long something that was mended at once is shown."""


class StorageWatch:
    """Since when the disk takes nothing; Redis knows too, so that an Aggregator after this one can record it."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._trouble: Trouble | None = None
        self._mended: Trouble | None = None
        self._is_remembered = False

    def resume(self) -> None:
        """Continue what an earlier Aggregator noticed. Raises `loadstone.stream.client.FAILURES`."""
        known: bytes | None = self._client.get(STORAGE_TROUBLE)  # type: ignore[assignment]
        with suppress(msgspec.MsgspecError):
            self._trouble = msgspec.json.decode(known, type=Trouble) if known else None
        self._is_remembered = known is not None

    def failed(self, text: str) -> None:
        """Note that the disk took nothing just now."""
        since_ns = self._trouble.since_ns if self._trouble else self._clock.now_ns()
        self._trouble = Trouble(part=ARCHIVE, text=text, since_ns=since_ns)
        if not self._is_remembered:
            with suppress(*FAILURES):
                words = (STORAGE_TROUBLE, msgspec.json.encode(self._trouble))
                command_when_full(self._client, STORAGE_TROUBLE, "SET", *words)
                self._is_remembered = True

    @property
    def trouble(self) -> Trouble | None:
        """What the disk refuses since when; None while it takes everything."""
        return self._trouble

    def is_over(self) -> None:
        """Note that the disk takes everything, and that each run has it on record."""
        self._trouble = None
        if self._is_remembered:
            self._client.delete(STORAGE_TROUBLE)
            self._is_remembered = False

    def mended(self, text: str) -> Trouble:
        """Note what was mended as soon as it was noticed."""
        self._mended = Trouble(part=ARCHIVE, text=text, since_ns=self._clock.now_ns())
        return self._mended

    def shown(self) -> Iterator[Trouble]:
        """What a live snapshot of now says."""
        if self._trouble is not None:
            yield self._trouble
        elif self._mended is not None and self._clock.now_ns() - self._mended.since_ns < _SHOWN_NS:
            yield self._mended


def storage_event(run: str, trouble: Trouble, now_ns: int) -> Event:
    """The event of a trouble that is over now; the same trouble always gives the same event, so it counts once."""
    lasted_s = max(0, now_ns - trouble.since_ns) / NS_PER_S
    payload = StorageFailed(text=trouble.text, lasted_s=lasted_s)
    return Event(run=run, at_ns=trouble.since_ns, source=f"storage:{trouble.since_ns}", seq=0, payload=payload)


class WaitingRuns:
    """Runs whose folders cannot be opened: why, and what is known of them from entries that wait in the stream."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._states: dict[str, RunState] = {}
        self._reasons: dict[str, Trouble] = {}

    def add(self, run: str, content: Content) -> None:
        """Take in an entry that has to wait; delivered again, it counts once."""
        with suppress(FormatError):
            self._states.setdefault(run, RunState()).apply_content(content)

    def refused(self, run: str, text: str) -> None:
        """Note why a run cannot be opened."""
        known = self._reasons.get(run)
        since_ns = known.since_ns if known else self._clock.now_ns()
        self._reasons[run] = Trouble(part=ARCHIVE, text=text, since_ns=since_ns)

    def opened(self, run: str) -> None:
        """Forget a run, which waits no longer."""
        self._states.pop(run, None)
        self._reasons.pop(run, None)

    def snapshots(self, troubles: tuple[Trouble, ...]) -> Iterator[tuple[LiveSnapshot, RunState]]:
        """The snapshot of each waiting run, with what is in trouble. Raises `loadstone.stream.client.FAILURES`."""
        for run in sorted({*self._states, *self._reasons}):
            state, now_ns = self._states.get(run) or RunState(), self._clock.now_ns()
            live = snapshot(run, state, now_ns=now_ns)
            if live.launch is None and (earlier := latest_live(self._client, run)) is not None:
                live = replace(earlier, now_ns=now_ns)
            reason = self._reasons.get(run)
            yield replace(live, troubles=(*troubles, *((reason,) if reason else ()))), state
