"""A strict reader of InfluxDB line protocol, written from its reference and independent of loadstone's own writer.

It refuses what was seen to be refused, or lost, by a real server: empty tag values, a tag value that ends in a
backslash, line breaks, NaN and infinity, float timestamps, a tag or field named ``time``, a measurement with ``#``.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

# A key or tag value: anything but the separators , = and space. One with a backslash right before it is no separator,
# and a backslash before anything else is itself. ++ and ?+ take no character back.
PART = r"(?:[^\\, =\n\r]|\\[, =]?+)++"
STRING = r'"(?:\\.|[^"\\\n\r])*"'
VALUE = rf"(?:{STRING}|-?\d+[iu]|-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|t|T|true|True|TRUE|f|F|false|False|FALSE)"
MEASUREMENT = r"(?!#)(?:[^\\, \n\r]|\\[, ]?+)++"
INT64 = range(-(2**63), 2**63)
LINE = re.compile(
    rf"(?P<measurement>{MEASUREMENT})(?P<tags>(?:,{PART}={PART})*) (?P<fields>{PART}={VALUE}(?:,{PART}={VALUE})*)"
    r"(?: (?P<time>-?\d+))?",
)
TAG = re.compile(rf",({PART})=({PART})")
FIELD = re.compile(rf"({PART})=({VALUE})")


class LineError(ValueError):
    """A line that InfluxDB would refuse."""


class PointKey(NamedTuple):
    """What makes two points the same one: a later one replaces it. Without a timestamp ``time_ns`` is None."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    time_ns: int | None


def parse_line(line: bytes) -> tuple[PointKey, dict[str, Any]]:
    """Read one line into its key and its fields (float, int, str, bool); LineError says what is wrong."""
    try:
        found = LINE.fullmatch(line.decode())
    except UnicodeDecodeError as error:
        raise LineError(f"no UTF-8: {error}") from error
    if found is None:
        raise LineError("bad line")
    tags = tuple(sorted((_plain(key), _plain(value)) for key, value in TAG.findall(found["tags"])))
    fields = {_plain(key): _field_value(value) for key, value in FIELD.findall(found["fields"])}
    names = [key for key, _ in tags]
    if "time" in names or "time" in fields:
        raise LineError("input field or tag 'time' is reserved")
    if len(set(names)) != len(names):
        raise LineError("duplicate tags")
    time_ns = int(found["time"]) if found["time"] else None
    return PointKey(_plain(found["measurement"]), tags, time_ns), fields


def _plain(escaped: str) -> str:
    return re.sub(r"\\([, =])", r"\1", escaped)


def _field_value(text: str) -> Any:
    if text[0] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text[0] in "tTfF":
        return text[0] in "tT"
    if text[-1] not in "iu":
        return float(text)
    if int(text[:-1]) not in INT64:
        raise LineError(f"unable to parse integer {text}: value out of range")
    return int(text[:-1])
