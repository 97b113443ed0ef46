"""Structured logs: one event per line on standard error, ``key=value`` pairs in logfmt's quoting."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from typing import Final, TextIO

_NEEDS_QUOTES: Final = frozenset(' "=\n\t')
_lock: Final = threading.Lock()


def info(event: str, **fields: object) -> None:
    """Log what happened, in the words of the fields' names; a unit is part of a name (``took_s``)."""
    _write("info", event, fields, sys.stderr)


def warning(event: str, **fields: object) -> None:
    """Log what went wrong and is being dealt with."""
    _write("warning", event, fields, sys.stderr)


def error(event: str, **fields: object) -> None:
    """Log what went wrong and needs a person."""
    _write("error", event, fields, sys.stderr)


def format_line(when: dt.datetime, level: str, event: str, fields: dict[str, object]) -> str:
    """One line: time in UTC with milliseconds, level, event, then the fields that are not None."""
    stamp = when.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pairs = {"time": stamp, "level": level, "event": event, **fields}
    return " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items() if value is not None)


def _write(level: str, event: str, fields: dict[str, object], stream: TextIO) -> None:
    line = format_line(dt.datetime.now(dt.UTC), level, event, fields)
    with _lock:
        stream.write(line + "\n")
        stream.flush()


def _quoted(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if text and not _NEEDS_QUOTES.intersection(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
