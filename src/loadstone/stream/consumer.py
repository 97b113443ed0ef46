"""Consumer: entries out of the streams, each at least once, removed only after they were acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis

from loadstone.stream import keys
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

__all__ = ["Consumer", "StreamEntry", "first_unfinished", "is_finished", "order", "trim_finished"]

_RUN: Final = keys.RUN.encode()
_BLOB: Final = keys.BLOB.encode()
_MAC: Final = keys.MAC.encode()
_READ_AS_HOLDER: Final = """
if redis.call('HGET', KEYS[1], 'number') ~= ARGV[1] then return {} end
local read = {'XREADGROUP', 'GROUP', ARGV[2], ARGV[3], 'COUNT', ARGV[4], 'STREAMS'}
for at = 2, #KEYS do read[#read + 1] = KEYS[at] end
for at = 5, #ARGV do read[#read + 1] = ARGV[at] end
return redis.call(unpack(read))
"""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of a stream: its position (``id``), the run it says it belongs to ("" for usage) and its blob.

    ``mac`` is to prove that; points have none, because only the Aggregator adds them.
    """

    stream: str
    id: str
    run: str
    blob: bytes
    mac: bytes = b""


class Consumer:
    """One member of a consumer group over several streams."""

    def __init__(self, client: Redis, group: str, name: str, streams: Sequence[str]) -> None:
        self._client = client
        self._group = group
        self._name = name
        self._streams = tuple(streams)
        self._cursor: dict[Any, Any] = dict.fromkeys(self._streams, "0")

    def join(self) -> None:
        """Create the group on every stream, from its beginning; nothing happens where it exists."""
        for stream in self._streams:
            if self._group not in _groups(self._client, stream):
                self._create(stream)

    def _create(self, stream: str) -> None:
        words = ("XGROUP", "CREATE", stream, self._group, "0", "MKSTREAM")
        try:
            command_when_full(self._client, stream, *words)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):  # another member was faster
                raise

    def read(self, *, count: int, block_ms: int | None) -> list[StreamEntry]:
        """The next entries, at most ``count`` of each stream; those left pending by an earlier life come first.

        It waits for an entry at most ``block_ms``, not at all with None. An entry without a blob, or deleted before it
        was read, comes with an empty one.
        """
        block = None if self.is_catching_up else block_ms
        answer: Any = self._client.xreadgroup(self._group, self._name, self._cursor, count=count, block=block)
        return self._taken(answer)

    def read_as_holder(self, lease: str, number: int, *, count: int) -> list[StreamEntry]:
        """Read without waiting; nothing if the lease no longer has this fencing number, checked in the same step."""
        names = (lease, *self._streams)
        arguments = (str(number), self._group, self._name, str(count), *map(str, self._cursor.values()))
        answer: Any = self._client.eval(_READ_AS_HOLDER, len(names), *names, *arguments)
        found = [(stream, [(id_, _pairs(values)) for id_, values in entries]) for stream, entries in answer or []]
        return self._taken(found)

    def _taken(self, answer: Any) -> list[StreamEntry]:
        found = {stream.decode(): entries for stream, entries in answer or []}
        self._advance(found)
        return [_entry(stream, *each) for stream in self._streams for each in found.get(stream, [])]

    def acknowledge(self, entries: Iterable[StreamEntry]) -> None:
        """Acknowledge entries that are safe elsewhere."""
        for stream, ids in _by_stream(entries).items():
            self._client.xack(stream, self._group, *ids)

    def claim(self, *, idle_ms: int, count: int) -> list[StreamEntry]:
        """Take over entries whose member has given no sign of life for ``idle_ms``, oldest first."""
        found: list[StreamEntry] = []
        for stream in self._streams:
            answer: Any = self._client.xautoclaim(stream, self._group, self._name, idle_ms, count=count)
            found += [_entry(stream, *each) for each in answer[1]]
        return found

    def keep(self, entries: Iterable[StreamEntry], *, idle_ms: int = 0) -> None:
        """Give a sign of life for entries that this member holds; a high ``idle_ms`` lets others claim them instead."""
        for stream, ids in _by_stream(entries).items():
            self._client.xclaim(stream, self._group, self._name, 0, ids, idle=idle_ms, justid=True)

    @property
    def is_catching_up(self) -> bool:
        """Whether entries that were read before, and not acknowledged, may still come."""
        return any(cursor != ">" for cursor in self._cursor.values())

    def rewind(self) -> None:
        """After a failure: start again with the entries that were read but not acknowledged."""
        self._cursor = dict.fromkeys(self._streams, "0")

    def _advance(self, found: dict[str, list[tuple[bytes, Any]]]) -> None:
        for stream, cursor in self._cursor.items():
            if cursor == ">":
                continue
            entries = found.get(stream, [])
            self._cursor[stream] = entries[-1][0].decode() if entries else ">"


def _pairs(values: list[bytes] | None) -> dict[bytes, bytes] | None:
    return dict(zip(values[::2], values[1::2], strict=True)) if values else None


def _entry(stream: str, id_: bytes, fields: dict[bytes, bytes] | None) -> StreamEntry:
    """Never fails: a run id that is not UTF-8 becomes one that no run can have."""
    values = fields or {}
    run = values.get(_RUN, b"").decode(errors="replace")
    return StreamEntry(stream, id_.decode(), run, values.get(_BLOB, b""), values.get(_MAC, b""))


def _by_stream(entries: Iterable[StreamEntry]) -> dict[str, list[Any]]:
    ids: dict[str, list[Any]] = {}
    for entry in entries:
        ids.setdefault(entry.stream, []).append(entry.id)
    return ids


def _groups(client: Redis, stream: str) -> set[str]:
    """The groups of a stream, which may not be there at all."""
    if not client.exists(stream):
        return set()
    groups: Any = client.xinfo_groups(stream)
    return {_text(info["name"]) for info in groups}


def trim_finished(client: Redis, stream: str) -> None:
    """Cut a stream up to the lowest entry that some group has not finished; a stream without groups stays whole."""
    groups: Any = client.xinfo_groups(stream)
    if groups:
        first = min((_first_unfinished(client, stream, group) for group in groups), key=order)
        client.xtrim(stream, minid=first, approximate=False)


def first_unfinished(client: Redis, stream: str, group: str) -> str | None:
    """The id of the lowest entry that a group has not finished; None without that group."""
    groups: Any = client.xinfo_groups(stream)
    found = [info for info in groups if _text(info["name"]) == group]
    return _first_unfinished(client, stream, found[0]) if found else None


def is_finished(client: Redis, stream: str, group: str) -> bool:
    """Whether a group has acknowledged all that was ever sent to a stream, which may not be there at all."""
    if client.llen(keys.inbox(stream)):  # first: what leaves the inbox after this look is in the stream for the next
        return False
    if not client.exists(stream):
        return True
    about: Any = client.xinfo_stream(stream)
    first = first_unfinished(client, stream, group)
    return first is not None and order(first) > order(_text(about["last-generated-id"]))


def _first_unfinished(client: Redis, stream: str, group: dict[str, Any]) -> str:
    """A lower bound: entries that the group finishes meanwhile only raise the true value."""
    lowest: Any = client.xpending(stream, group["name"])["min"] if group["pending"] else None
    if lowest is not None:
        return _text(lowest)
    milliseconds, sequence = order(_text(group["last-delivered-id"]))
    return f"{milliseconds}-{sequence + 1}"


def order(id_: str) -> tuple[int, int]:
    """The sort key of an entry's id: milliseconds, then a number."""
    milliseconds, _, sequence = id_.partition("-")
    return int(milliseconds), int(sequence)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
