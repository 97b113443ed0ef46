"""What InfluxDB says about lines that it does not accept, in the words of 1.x, 2.x and 3 Core.

1.x and 2.x keep the good lines of a request ("partial write") and end their text with ``dropped=N``; 2.x adds the
database and the retention policy behind that. N may be too small: of several reasons in one request only one is
reported. Lines that cannot be parsed are quoted in the text, and 2.x keeps nothing of such a request. 3 Core lists the
numbers of the lines (from 1) under ``data``. Sources: the type ``PartialWriteError`` in influxdb's ``tsdb/shard.go``
(1.x and 2.x), https://docs.influxdata.com/influxdb3/core/write-data/http-api/v3-write-lp/, and a real 1.6.7.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.masking import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Said", "WriteAnswer", "WriteOutcome", "answer_of", "is_beyond_retention", "retention_in"]

_DROPPED: Final = re.compile(r"\bdropped=(\d+)(?: for database: \S+)?(?: for retention policy: \S+)?\s*$")
"""Only at the end: names and error texts of a scenario, which InfluxDB quotes before it, may hold anything."""

_RETENTION: Final = re.compile(r"(?:points beyond|points outside) retention policy(?: of duration (\S+))?")
_CONFLICT: Final = re.compile(r'input field "(.*?)" on measurement "(.*?)" is type (\w+), already exists as type')
_QUOTED: Final = "unable to parse '"
_QUOTE_ENDS: Final = "': "
_HEAD, _TAIL = 380, 110
"""A long reason keeps both ends: it begins with what is wrong and ends with how many lines were dropped."""


class WriteOutcome(Enum):
    """The outcome of a write for the lines that were sent."""

    STORED = "stored"
    AWAY = "away"  # try again: no answer, 408, 429, 5xx
    REFUSED = "refused"  # not before a person has corrected token, bucket or address
    REJECTED = "rejected"  # at least one of the lines is not acceptable
    TOO_LARGE = "too large"
    SLOW = "slow"  # no answer in time: try again with less


_OUTCOMES: Final = {
    400: WriteOutcome.REJECTED,
    408: WriteOutcome.AWAY,
    413: WriteOutcome.TOO_LARGE,
    422: WriteOutcome.REJECTED,
    425: WriteOutcome.AWAY,
    429: WriteOutcome.AWAY,
}
_FIRST_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Said:
    """What a body says: the whole ``message``, and the numbers (from 0) of the lines that it lists as wrong."""

    message: str
    listed: tuple[int, ...] = ()

    @property
    def dropped(self) -> int:
        """How many lines of the request it reports as dropped; 0 when it does not say."""
        found = _DROPPED.search(self.message)
        return int(found[1]) if found else 0

    @property
    def short(self) -> str:
        """The message without secrets, cut to 500 characters in its middle, where keys of series stand."""
        masked = mask_secrets(self.message)
        return masked if len(masked) <= _HEAD + _TAIL else f"{masked[:_HEAD]} ... {masked[-_TAIL:]}"

    def named(self, lines: Sequence[str]) -> list[int]:
        """The positions of the lines that it lists or quotes: these are wrong, there may be more of them."""
        if self.listed:
            return [at for at in self.listed if at < len(lines)]
        quoted = set(_quoted_lines(self.message, frozenset(lines)))
        return [at for at, line in enumerate(lines) if line in quoted] if quoted else []

    def likely(self, lines: Sequence[str]) -> list[int]:
        """As many positions as were dropped, if its reason tells which: what it dropped, unless it dropped more."""
        found: list[int] = []
        if _RETENTION.search(self.message):
            found = sorted(range(len(lines)), key=lambda at: _timestamp(lines[at]))[: self.dropped]
        elif conflict := _CONFLICT.search(self.message):
            pattern = _conflicting(*conflict.groups())
            found = [at for at, line in enumerate(lines) if pattern.match(line)]
        return sorted(found) if len(found) == self.dropped else []


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """The answer to one write: its outcome, the reason in InfluxDB's words, and how long it asks to wait (s).

    ``said`` is the whole of it, for an answer of InfluxDB itself.
    """

    outcome: WriteOutcome
    reason: str = ""
    status: int = 0
    retry_after_s: float | None = None
    said: Said = Said("")


def answer_of(status: int, body: str | bytes | None, retry_after_s: float | None = None) -> WriteAnswer:
    """The answer that an error status and its body are."""
    said = _read_body(body)
    reason = f"HTTP {status}: {said.short if said else 'not an answer of InfluxDB'}"
    return WriteAnswer(_outcome(status, said), reason, status, retry_after_s, said or Said(""))


def _outcome(status: int, said: Said | None) -> WriteOutcome:
    if status >= _FIRST_SERVER_ERROR:  # 2.0 answers 500 to a partial write, which no further try will change
        return WriteOutcome.REJECTED if said and said.dropped else WriteOutcome.AWAY
    outcome = _OUTCOMES.get(status, WriteOutcome.REFUSED)
    # A proxy or a server of another kind that answers 400 has not judged the lines.
    return WriteOutcome.REFUSED if outcome is WriteOutcome.REJECTED and said is None else outcome


def _read_body(body: str | bytes | None) -> Said | None:
    """What the body of an error says; None when it is not one of InfluxDB."""
    try:
        content: Any = json.loads(body or "")
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    text = content.get("message") or content.get("error") or content.get("code")
    if text is None:
        return None
    data = content.get("data")
    wrong = [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]
    numbers = [one["line_number"] for one in wrong if isinstance(one.get("line_number"), int)]
    reasons = [str(one["error_message"]) for one in wrong[:1] if "error_message" in one]
    return Said(": ".join([str(text), *reasons]), tuple(number - 1 for number in numbers if number > 0))


def is_beyond_retention(reason: str) -> bool:
    """Whether lines were dropped because they are older than what the bucket keeps."""
    return _RETENTION.search(reason) is not None


def retention_in(reason: str) -> str | None:
    """How long the bucket keeps points, in InfluxDB's words (``72h0m0s``), where the reason names it."""
    found = _RETENTION.search(reason)
    return found[1] if found else None


def _quoted_lines(message: str, lines: frozenset[str]) -> list[str]:
    """The lines that the message quotes. A line may itself hold what ends a quotation."""
    found = []
    for piece in message.split(_QUOTED)[1:]:
        end = piece.find(_QUOTE_ENDS)
        while end >= 0 and piece[:end] not in lines:
            end = piece.find(_QUOTE_ENDS, end + 1)
        if end >= 0:
            found.append(piece[:end])
    return found


def _timestamp(line: str) -> int:
    digits = line.rpartition(" ")[2]
    return int(digits) if digits.lstrip("-").isdecimal() else 0


_VALUES: Final = {
    "integer": r"-?\d+i",
    "unsigned": r"\d+u",
    "string": '"',
    "boolean": r"[tTfF]",
    "float": r"-?[\d.]+(?:[eE][+-]?\d+)?(?=[, ])",
}


def _conflicting(field: str, measurement: str, kind: str) -> re.Pattern[str]:
    """Matches the lines of a measurement that give a field a value of this kind."""
    return re.compile(rf"{re.escape(measurement)}[, ](?:.*[ ,])?{re.escape(field)}={_VALUES.get(kind, '')}")
