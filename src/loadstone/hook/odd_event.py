"""Odd events: request events whose values cannot be stored as they are, because scenarios may fire anything.

Each value becomes what Locust's own statistics would count for it, or as near to that as can be stored.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from locust.stats import StatsError

from loadstone.domain.masking import mask_secrets
from loadstone.domain.rollup import MAX_DURATION_US
from loadstone.domain.text import clean_text
from loadstone.domain.time import US_PER_MS

__all__ = [
    "ERROR_LIMIT",
    "MAX_BYTES",
    "RequestEvent",
    "duration_us",
    "error_text",
    "is_failure",
    "kept_error",
    "size_bytes",
    "text_of",
]

ERROR_LIMIT: Final = 1024
"""Characters of an error text that are kept: line protocol strings beyond 1 KB are of no use to a reader."""
_LOOKED_AT: Final = 4 * ERROR_LIMIT
"""Characters of an error text that are looked at: a secret must not be cut in half before it is masked."""
MAX_BYTES: Final = 1 << 40
"""Largest response that is stored, 1 TiB: sums of a run stay exact."""
_EXAMPLE_LIMIT: Final = 300


class RequestEvent(NamedTuple):
    """The arguments of a request event that are recorded, and when it was fired (monotonic clock, ns)."""

    end: int
    request_type: Any
    name: Any
    response_time: Any
    response_length: Any
    response: Any
    exception: Any

    @property
    def is_plain(self) -> bool:
        """Whether every value can be stored as it is."""
        time, length = self.response_time, self.response_length
        return (
            isinstance(self.request_type, str)
            and isinstance(self.name, str)
            and (time is None or (isinstance(time, int | float) and 0 <= time * US_PER_MS <= MAX_DURATION_US))
            and (length is None or (isinstance(length, int) and 0 <= length <= MAX_BYTES))
        )

    def describe(self) -> str:
        """The event in one line, for the log and the report."""
        return clean_text(", ".join(f"{field}={_shown(getattr(self, field))}" for field in _SHOWN))[:_EXAMPLE_LIMIT]


_SHOWN: Final = ("request_type", "name", "response_time", "response_length", "exception")


def duration_us(response_time: Any) -> int | None:
    """Microseconds; None without a time. Locust cannot add up text or NaN either; what is too long is cut."""
    try:
        return int(min(max(0 + response_time * US_PER_MS, 0), MAX_DURATION_US))
    except Exception:  # noqa: BLE001  (a scenario's own type may raise anything)
        return None


def size_bytes(response_length: Any) -> int:
    """Bytes, 0 where the length is no number."""
    try:
        return int(min(max(0 + response_length, 0), MAX_BYTES))
    except Exception:  # noqa: BLE001
        return 0


def is_failure(exception: Any) -> bool:
    """Whether Locust counts a failure: it asks whether the exception is true, and counts none when that raises."""
    try:
        return bool(exception)
    except Exception:  # noqa: BLE001
        return False


def kept_error(exception: Any) -> str:
    """The text of an error as Locust shows it, but with secrets masked. Raises whatever the error's ``repr`` does."""
    return mask_secrets(StatsError.parse_error(exception)[:_LOOKED_AT])[:ERROR_LIMIT]


def error_text(exception: Any) -> str:
    """The text of an error that is kept, or a stand-in where it has none."""
    try:
        return kept_error(exception)
    except Exception as error:  # noqa: BLE001
        return f"{type(exception).__name__}, whose text raises {type(error).__name__}"


def text_of(value: Any) -> str:
    """A request's type or name as text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return error_text(value)


def _shown(value: Any) -> str:
    return repr(str.__str__(value)) if isinstance(value, str) else error_text(value)
