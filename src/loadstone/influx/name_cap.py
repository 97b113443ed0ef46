"""The request names that a run may have as tags: the first 500 of its journal; every later one is `OTHER`.

The order of the journal is the only authority, so archive, live page and InfluxDB agree on every name. The Aggregator
publishes the names that it has admitted after the journal is on disk and before it acknowledges their entries, and the
InfluxWriters use that list alone: a name is decided once it is on the list or the list is full. Until then an entry
stays pending, so an Aggregator that is down only delays raw points. A full Redis takes no names; the Aggregator then
acknowledges entries without them, and a writer that misses a name has the run backfilled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.domain.event import NamesCapped
from loadstone.domain.request_name import NAME_LIMIT, OTHER, NameTable, RequestName
from loadstone.stream.keys import admitted_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from loadstone.domain.event import Event

__all__ = ["AdmittedNames", "names_in", "names_listed_by_writers", "publish_names"]

_LISTED_BY_WRITERS: Final = "influx-names"
"""Source of the event in which older versions listed the names of raw points; their writers admitted names."""


def publish_names(client: Redis, run: str, names: NameTable) -> None:
    """Let the writers know which names a run has, in order of admission."""
    client.set(admitted_names(run), msgspec.json.encode(names.names))


class AdmittedNames:
    """The names of one run as the Aggregator has published them."""

    def __init__(self, client: Redis, run: str, *, limit: int = NAME_LIMIT) -> None:
        self._client = client
        self._key = admitted_names(run)
        self._limit = limit
        self._known: frozenset[RequestName] = frozenset()

    def admitted(self, names: Iterable[RequestName]) -> list[RequestName] | None:
        """The name to write for each given one: itself, cleaned, or `OTHER`. None as long as one is undecided.

        Raises `loadstone.stream.client.FAILURES`.
        """
        cleaned = [RequestName.cleaned(*name) for name in names]
        if not self._decides(cleaned):
            self._read()
            if not self._decides(cleaned):
                return None
        return [name if name in self._known else OTHER for name in cleaned]

    def _decides(self, names: Sequence[RequestName]) -> bool:
        return len(self._known) >= self._limit or self._known.issuperset(names)

    def _read(self) -> None:
        published: Any = self._client.get(self._key)
        if published is not None:
            self._known = frozenset(msgspec.json.decode(published, type=list[RequestName]))


def names_in(table: NameTable, names: Iterable[RequestName]) -> list[RequestName]:
    """The name to write for each given one, which takes its place in the table if there is room."""
    return [table[table.id_of(*RequestName.cleaned(*name))] for name in names]


def names_listed_by_writers(event: Event) -> NameTable | None:
    """The full table of a run whose writers admitted the names and listed them in this event; None for any other.

    A backfill of such a run has to use that list, or it would write other points than there are.
    """
    if not isinstance(event.payload, NamesCapped) or event.source != _LISTED_BY_WRITERS:
        return None
    listed = event.payload.names
    table = NameTable(limit=len(listed))
    for method, name in listed:
        table.id_of(method, name)
    return table
