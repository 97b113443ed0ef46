"""How far this worker's clock is from the target's, by the Date of an answer that a user received anyway.

Once a minute, and for a few seconds at most, this listens to Locust's ``request`` event until an answer has a Date that
is not too far off; at all other times it costs nothing. A single Date proves little: servers keep each for a while, and
one that was held up keeps an old one. The smallest of all readings counts in the end.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.clock_doubts import MAX_TARGET_OFFSET_MS
from loadstone.domain.time import MS_PER_S, NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.event import EventHook

__all__ = ["TargetClock", "least_offset_ms"]

_LOOKS_BETWEEN: Final = 120
"""Looks, two a second, from one reading to the next."""
_LOOKS_LISTENING: Final = 10
_RESOLUTION_MS: Final = 1000.0
"""A Date has no fraction of a second, so the target's clock was up to a second further when it wrote it."""


class TargetClock:
    """Reads the target's clock now and then; `look` is called twice a second."""

    def __init__(self, request: EventHook, now_ns: Callable[[], int]) -> None:
        self._request = request
        self._now_ns = now_ns
        self._looks = 0
        self._offset_ms: float | None = None

    def look(self) -> float | None:
        """By how much this clock is at least ahead of the target's, ms; None where there is no new reading."""
        at = self._looks % _LOOKS_BETWEEN
        self._looks += 1
        if at == 0:
            self._request.add_listener(self._listen)
        found, self._offset_ms = self._offset_ms, None
        if _is_near(found) or at == _LOOKS_LISTENING:
            self.stop()
        return found

    def stop(self) -> None:
        """Listen no longer. An event that is being fired keeps its list of listeners, so none of them is skipped."""
        listeners = self._request._handlers  # noqa: SLF001  (remove_listener changes a list that may be walked now)
        self._request._handlers = [each for each in listeners if each != self._listen]  # noqa: SLF001

    def _listen(self, response: Any = None, response_time: Any = None, **_event: Any) -> None:
        if _is_near(self._offset_ms):
            return
        try:
            headers = response.headers
            if "Age" not in headers:  # a cache keeps the Date of the answer that it stored
                offset_ms = least_offset_ms(headers["Date"], float(response_time), self._now_ns() / NS_PER_MS)
                self._offset_ms = min(offset_ms, offset_ms if self._offset_ms is None else self._offset_ms, key=abs)
        except Exception:  # noqa: BLE001  (an answer of any client, which may have no headers, or odd ones)
            return


def _is_near(offset_ms: float | None) -> bool:
    """Whether a reading has been found, and raises no doubt."""
    return offset_ms is not None and abs(offset_ms) <= MAX_TARGET_OFFSET_MS


def least_offset_ms(date: str, duration_ms: float, now_ms: float) -> float:
    """By how much a clock is at least ahead of a server's, ms; 0 if they may agree.

    The server wrote the Date during the request, which took ``duration_ms`` and ended at ``now_ms``.
    """
    server_ms = parsedate_to_datetime(date).timestamp() * MS_PER_S
    lowest, highest = now_ms - duration_ms - server_ms - _RESOLUTION_MS, now_ms - server_ms
    return lowest if lowest > 0 else min(highest, 0.0)
