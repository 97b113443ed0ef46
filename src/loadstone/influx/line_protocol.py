"""Line protocol: points as text that InfluxDB accepts, regardless of what names and errors contain.

The rules were found with a real server, which rejects a tag value that ends in a backslash, an empty tag value, a line
break in a tag, NaN, infinity and a timestamp that is not an integer. So control characters become a space, backslashes
at the end of a tag are dropped, empty tags, NaN and infinity are left out, and texts are cut at 1 KiB. Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from loadstone.domain.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FieldValue", "clean_tag", "point", "quoted", "tags"]

FieldValue = float | int | bool | str | None
"""The value of a field; None is left out."""

_TAG_ESCAPES: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_INT64_MAX: Final = 2**63 - 1
_CACHED: Final = 4096


@lru_cache(maxsize=_CACHED)
def clean_tag(text: str) -> str:
    """A text as a tag keeps it: like `clean_text`, without backslashes at its end. It may be empty."""
    return clean_text(text).rstrip("\\")


@lru_cache(maxsize=_CACHED)
def quoted(text: str) -> str:
    """A text as the value of a field, cleaned and escaped, in double quotes."""
    escaped = clean_text(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def tags(values: Mapping[str, str | int]) -> str:
    """Tags as they follow the measurement, each with a comma before it; empty ones are left out."""
    cleaned = ((key, clean_tag(str(value))) for key, value in values.items())
    return "".join(f",{key}={value.translate(_TAG_ESCAPES)}" for key, value in cleaned if value)


def point(series: str, fields: Mapping[str, FieldValue], at_ns: int) -> str:
    """One line without its end: ``series`` is the measurement with its `tags`. Empty when no field has a value."""
    written = ",".join(f"{key}={text}" for key, value in fields.items() if (text := _field(value)))
    return f"{series} {written} {at_ns}" if written else ""


def _field(value: FieldValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int):
        return f"{value}i" if -_INT64_MAX <= value <= _INT64_MAX else ""
    if isinstance(value, str):
        return quoted(value)
    return repr(float(value)) if math.isfinite(value) else ""
