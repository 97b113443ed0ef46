"""Which request names a run may have as tags: the first 500, every later one is `OTHER`.

All writers of a deployment have to agree, or a batch that is written by two of them would be two sets of points. So
the names are admitted in Redis, one after the other. Once the run is full its list never changes; it then goes into
the event `names_capped`, and so into the journal, from which a backfill takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from loadstone.domain.event import Event, NamesCapped, encode_event
from loadstone.domain.request_name import NAME_LIMIT, OTHER, RequestName
from loadstone.stream.client import EVENTS, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

__all__ = ["CAPPED_BY_WRITER", "LocalNameCap", "NameCap", "SharedNameCap"]

Name = RequestName
CAPPED_BY_WRITER: Final = "influx-names"
"""Source of the event whose data lists the names that raw points of a capped run have."""

_KEPT_S: Final = 7 * 24 * 3600
_SEPARATOR: Final = "\x00"  # no cleaned name contains it
_ADMIT: Final = """
local answer = {}
for i = 3, #ARGV do
  local known = redis.call('SISMEMBER', KEYS[1], ARGV[i])
  if known == 0 and redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SADD', KEYS[1], ARGV[i])
    known = 1
  end
  answer[#answer + 1] = known
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return answer
"""


class NameCap(Protocol):
    """Decides under which (method, name) samples are written."""

    def admitted(self, names: Iterable[Name]) -> list[Name]:
        """The name to write for each given one: itself, cleaned, or `OTHER`."""
        ...


class LocalNameCap:
    """Names in order of appearance, or a fixed list when the run is known to be full of these."""

    def __init__(self, full_of: Iterable[Name] = (), *, limit: int = NAME_LIMIT) -> None:
        self._admitted = set(full_of)
        self._limit = len(self._admitted) or limit

    def admitted(self, names: Iterable[Name]) -> list[Name]:
        """See `NameCap`."""
        return [self._admit(RequestName.cleaned(*name)) for name in names]

    def _admit(self, name: Name) -> Name:
        if name not in self._admitted:
            if len(self._admitted) >= self._limit:
                return OTHER
            self._admitted.add(name)
        return name


class SharedNameCap:
    """The names of one run, admitted in Redis. Methods raise `loadstone.stream.client.FAILURES`."""

    def __init__(self, client: Redis, run: str, now_ns: Callable[[], int], *, limit: int = NAME_LIMIT) -> None:
        self._client = client
        self._run = run
        self._key = f"names:{run}"
        self._now_ns = now_ns
        self._limit = limit
        self._known: set[Name] = set()
        self._full = False

    def admitted(self, names: Iterable[Name]) -> list[Name]:
        """See `NameCap`."""
        cleaned = [RequestName.cleaned(*name) for name in names]
        unknown = sorted(set(cleaned) - self._known)
        if unknown and not self._full:
            self._ask(unknown)
        return [name if name in self._known else OTHER for name in cleaned]

    def _ask(self, names: Sequence[Name]) -> None:
        members = [_SEPARATOR.join(name) for name in names]
        answer: Any = self._client.eval(_ADMIT, 1, self._key, str(self._limit), str(_KEPT_S), *members)
        self._known.update(name for name, known in zip(names, answer, strict=True) if known)
        if not all(answer):
            self._fill()

    def _fill(self) -> None:
        """The run is full: its list is final, and is said once in an event (equal events count once)."""
        members: Any = self._client.smembers(self._key)
        pairs = (member.decode().partition(_SEPARATOR) for member in members)
        known = {RequestName(method, name) for method, _, name in pairs}
        add(self._client, EVENTS, encode_event(self._event(known)), run=self._run)
        self._known, self._full = known, True

    def _event(self, known: set[Name]) -> Event:
        payload = NamesCapped(limit=self._limit, names=tuple(sorted(known)))
        return Event(run=self._run, at_ns=self._now_ns(), source=CAPPED_BY_WRITER, seq=0, payload=payload)
