"""Inboxes: the lists into which producers put entries, and from which the Aggregator moves them into the streams.

The right to append to a list is the narrowest one that Redis has. The right to append to a stream (XADD) is not: it
also lets its owner trim the stream and choose ids, of which one of 2^64-1 is the last that a stream takes. A function
in Redis does not help, since it runs with the rights of its caller.

One element of a list is one entry: version (1 byte), length of the run's id (1 byte), MAC (32 bytes, see
`loadstone.stream.proof`), the run's id, the blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.stream import keys
from loadstone.stream.proof import MAC_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from loadstone.stream.proof import RunSecret

__all__ = ["LONGEST_ENTRY", "move_entries", "send", "send_usage"]

LONGEST_ENTRY: Final = 32 * 1024 * 1024
"""An element that is longer than this many bytes is no entry: a batch has a few ten thousand bytes."""

_VERSION: Final = 1
_MOST_ENTRIES: Final = 256
_MOST_BYTES: Final = 8 * 1024 * 1024
_KEPT_OF_LONG: Final = 1024
_MOVE: Final = """
local run_field, mac_field, blob_field = unpack(ARGV)
local version, mac_bytes, most, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local longest, kept, moved = tonumber(ARGV[8]), tonumber(ARGV[9]), 0
for at = 1, #KEYS, 2 do
  local bytes, count = 0, 0
  while count < most and bytes < most_bytes do
    local element = redis.call('LPOP', KEYS[at])
    if not element then break end
    local run, mac, blob, found, run_bytes = '', '', element, string.byte(element, 1, 2)
    local head = 2 + mac_bytes + (run_bytes or 0)
    if #element > longest then
      blob = string.sub(element, 1, kept)
    elseif found == version and #element >= head then
      run, mac = string.sub(element, 3 + mac_bytes, head), string.sub(element, 3, 2 + mac_bytes)
      blob = string.sub(element, head + 1)
    end
    local added = redis.pcall('XADD', KEYS[at + 1], '*', run_field, run, mac_field, mac, blob_field, blob)
    if type(added) == 'table' and added.err then
      redis.call('LPUSH', KEYS[at], element)
      return added
    end
    count, bytes = count + 1, bytes + #element
  end
  moved = moved + count
end
return moved
"""
"""What is not in the form of an entry is moved as a blob of no run. The first write is one that a full server allows,
and the others of a script follow it, so no version of Redis refuses them. A failure takes nothing out of a list."""


def send(client: Redis, stream: str, blob: bytes, secret: RunSecret) -> None:
    """Send one entry of a run towards a stream.

    May raise any of `loadstone.stream.client.FAILURES`; the entry may then be there or not.
    """
    _push(client, stream, secret.run, secret.mac(stream, blob), blob)


def send_usage(client: Redis, blob: bytes) -> None:
    """Send a usage tick, which belongs to no run: only samplers have the right to. May raise as `send` does."""
    _push(client, keys.USAGE, "", bytes(MAC_BYTES), blob)


def move_entries(client: Redis, streams: Sequence[str]) -> int:
    """Move what waits in the inboxes of these streams, in its order; how many entries that were.

    At most 256 entries of a stream, and no more after 8 MB. It happens as a whole or not at all, on a full server too.
    Raises `loadstone.stream.client.FAILURES`.
    """
    names = [name for stream in streams for name in (keys.inbox(stream), stream)]
    bounds = (_VERSION, MAC_BYTES, _MOST_ENTRIES, _MOST_BYTES, LONGEST_ENTRY, _KEPT_OF_LONG)
    moved: Any = client.eval(_MOVE, len(names), *names, keys.RUN, keys.MAC, keys.BLOB, *map(str, bounds))
    return int(moved)


def _push(client: Redis, stream: str, run: str, mac: bytes, blob: bytes) -> None:
    id_ = run.encode()
    client.rpush(keys.inbox(stream), bytes((_VERSION, len(id_))) + mac + id_ + blob)
