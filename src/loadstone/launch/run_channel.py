"""RunChannel: what the supervisor of a run reads from and writes to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from loadstone.collector.live.snapshot import all_closed, read_live
from loadstone.domain.event import Event, encode_event
from loadstone.influx.feed import is_drained
from loadstone.stream.client import refusal
from loadstone.stream.consumer import is_finished
from loadstone.stream.inbox import send
from loadstone.stream.keys import AGGREGATORS, BLOB, DEAD_LETTERS, EVENTS
from loadstone.stream.proof import RunSecrets

if TYPE_CHECKING:
    from redis import Redis

    from loadstone.domain.live import LiveSnapshot

__all__ = ["RedisChannel", "RunChannel"]


class RunChannel(Protocol):
    """What the supervisor reads from and writes to Redis. Every method may raise `loadstone.stream.client.FAILURES`."""

    def read_live(self, launch: str) -> LiveSnapshot | None:
        """The newest live snapshot of the run that this launch started; None before there is one."""

    def all_closed(self, launch: str) -> bool:
        """Whether every run that this launch started is closed."""

    def publish(self, event: Event) -> None:
        """Send an event of a run that is open."""

    def all_events_read(self) -> bool:
        """Whether the Aggregator has read every event."""

    def points_drained(self, run: str) -> bool:
        """Whether InfluxDB has received every point of a run."""

    def refusal(self) -> str:
        """Why the server takes nothing; empty while it does."""

    def start_refused(self, launch: str) -> str:
        """Why the Aggregator refused the event that starts the run of this launch; empty if it did not."""


class RedisChannel:
    """The `RunChannel` of a real run."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._secrets = RunSecrets(client)

    def read_live(self, launch: str) -> LiveSnapshot | None:
        """See `RunChannel`."""
        return read_live(self._client, launch)

    def all_closed(self, launch: str) -> bool:
        """See `RunChannel`."""
        return all_closed(self._client, launch)

    def publish(self, event: Event) -> None:
        """See `RunChannel`."""
        send(self._client, EVENTS, encode_event(event), self._secrets.of(event.run))

    def all_events_read(self) -> bool:
        """See `RunChannel`."""
        return is_finished(self._client, EVENTS, AGGREGATORS)

    def points_drained(self, run: str) -> bool:
        """See `RunChannel`."""
        return is_drained(self._client, run)

    def refusal(self) -> str:
        """See `RunChannel`."""
        return refusal(self._client)

    def start_refused(self, launch: str) -> str:
        """See `RunChannel`."""
        letters: Any = self._client.xrevrange(DEAD_LETTERS)
        ours = (about for _, about in letters if launch.encode() in about.get(BLOB.encode(), b""))
        return next((about[b"reason"].decode() for about in ours), "")
