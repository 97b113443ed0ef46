"""Parsers of single values: they turn text into a typed value or raise a ValueError that names what is allowed."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

__all__ = [
    "RETENTION",
    "allowed_hosts",
    "boolean",
    "choice",
    "duration_s",
    "host",
    "http_url",
    "lines",
    "number_above",
    "path",
    "paths",
    "paths_of_locust",
    "port",
    "positive_duration_s",
    "redis_url",
    "retention_s",
    "some_text",
    "target",
    "text",
    "whole_number",
    "words",
]

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d|w)")
RETENTION: Final = "a duration from 1h to 36500d such as 72h or 30d, or 0 to keep points forever"
_SHORTEST_RETENTION_S, _LONGEST_RETENTION_S = 3600.0, 36_500 * 86_400.0
_MAX_PORT: Final = 65535
_ALLOWED_HOST: Final = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_FOUR_NUMBERS: Final = re.compile(r"\d+(?:\.\d+){3}")


def text(value: str) -> str:
    """Any text."""
    return value


def some_text(what: str) -> Callable[[str], str]:
    """A parser of any text but the empty one, which is no ``what``."""

    def parse(value: str) -> str:
        if not value.strip():
            raise ValueError(what)
        return value

    return parse


def path(value: str) -> Path:
    """A path, in UTF-8 from the root on: Parquet and JSON know no other names. ``~`` is the home folder."""
    try:
        found = Path(value).expanduser()
        str(found.absolute()).encode()
    except UnicodeEncodeError:
        raise ValueError("a path whose names are all in UTF-8") from None
    except RuntimeError:
        raise ValueError("a path without ~, because this user has no home folder") from None
    except FileNotFoundError:
        raise ValueError("a path that does not begin in the current folder, because that is gone") from None
    return found


def paths(value: str) -> tuple[Path, ...]:
    """Several paths, one a line, or separated by commas or spaces; what exists as it is written is one path."""
    return tuple(path(part) for line in lines(value) for part in _parts(line, (",", None)))


def paths_of_locust(value: str) -> list[str]:
    """What Locust's option ``-f`` names: paths separated by commas, but what exists as it is written is one path."""
    return _parts(value.strip(), (",",))


def _parts(text: str, separators: tuple[str | None, ...]) -> list[str]:
    if not text or path(text).exists() or not separators:
        return [text] if text else []
    separator, *others = separators
    if separator is None:
        words = text.split()
        return words if any(path(word).exists() for word in words) else [text]
    joined = _joined(text.split(separator), separator)
    return [part for word in joined for part in _parts(word.strip(), tuple(others))]


def _joined(words: list[str], separator: str) -> list[str]:
    """The words, with neighbours put together again where only all of them name something that exists."""
    found = []
    while words:
        ends = range(len(words), 0, -1)
        end = next((end for end in ends if path(separator.join(words[:end]).strip()).exists()), 1)
        found.append(separator.join(words[:end]))
        words = words[end:]
    return found


def lines(value: str) -> tuple[str, ...]:
    """Several texts, one per line."""
    return tuple(line.strip() for line in value.splitlines() if line.strip())


def words(value: str) -> tuple[str, ...]:
    """Several words, separated by commas or spaces."""
    return tuple(word for word in re.split(r"[,\s]+", value) if word)


def boolean(value: str) -> bool:
    """Yes or no."""
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.strip().lower() not in known:
        raise ValueError("yes or no")
    return known[value.strip().lower()]


def duration_s(value: str) -> float:
    """A duration such as ``90``, ``90s``, ``1m30s``, ``500ms`` or ``2h``, in seconds."""
    compact = value.replace(" ", "").lower()
    try:
        seconds = float(compact)
    except ValueError:
        if not compact or _DURATION.sub("", compact):
            raise ValueError("a duration such as 90s, 1m30s, 500ms or 2h") from None
        seconds = sum(float(amount) * _UNITS_S[unit] for amount, unit in _DURATION.findall(compact))
    if not 0 <= seconds < float("inf"):
        raise ValueError("a duration of zero or more")
    return seconds


def positive_duration_s(value: str) -> float:
    """A duration above zero, in seconds."""
    seconds = duration_s(value)
    if not seconds:
        raise ValueError("a duration above zero")
    return seconds


def retention_s(value: str) -> float:
    """How long InfluxDB keeps points, in seconds; 0: forever. It takes an hour at least, and counts in 64-bit ns."""
    try:
        seconds = duration_s(value)
    except ValueError:
        raise ValueError(RETENTION) from None
    if seconds and not _SHORTEST_RETENTION_S <= seconds <= _LONGEST_RETENTION_S:
        raise ValueError(RETENTION)
    return seconds


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from ``least`` to ``most``."""
    allowed = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", value.strip()):
            raise ValueError(allowed)
        number = int(value)
        if number < least or (most is not None and number > most):
            raise ValueError(allowed)
        return number

    return parse


def number_above(limit: float) -> Callable[[str], float]:
    """A parser of numbers greater than ``limit``."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"a number above {limit:g}") from None
        if not limit < number < float("inf"):
            raise ValueError(f"a number above {limit:g}")
        return number

    return parse


def number_from(limit: float) -> Callable[[str], float]:
    """A parser of numbers of at least ``limit``."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"a number of at least {limit:g}") from None
        if not limit <= number < float("inf"):
            raise ValueError(f"a number of at least {limit:g}")
        return number

    return parse


port = whole_number(0, _MAX_PORT)
"""A TCP port; 0 means any free one."""


def choice(*allowed: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError("one of " + ", ".join(allowed) if len(allowed) > 1 else allowed[0])
        return value

    return parse


def host(value: str) -> str:
    """A host name or an IP address."""
    allowed = "a host name or an IP address"
    if not value:
        raise ValueError(allowed)
    try:
        value.encode("idna")  # as every resolver does
        if _FOUR_NUMBERS.fullmatch(value):
            IPv4Address(value)
    except ValueError:
        raise ValueError(allowed) from None
    return value


def allowed_hosts(value: str) -> tuple[str, ...]:
    """Host names, ``*.NAME`` for all names below one, or ``*``; separated by commas or spaces."""
    names = tuple(name.rstrip(".").lower() for name in words(value))
    if not all(_ALLOWED_HOST.fullmatch(name) for name in names):
        raise ValueError("host names without a port, *.NAME for all names below one, or * for every name")
    return names


def http_url(value: str) -> str:
    """An http or https address with a host; trailing slashes are removed."""
    parts = _split(value, "http://HOST[:PORT] or https://HOST[:PORT]")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("http://HOST[:PORT] or https://HOST[:PORT]")
    return value.rstrip("/")


def target(value: str) -> str:
    """What Locust takes as a host, unchanged: an http(s) address, or anything that a client of another kind needs."""
    if value.lower().startswith(("http:", "https:")):
        http_url(value)
    if not value or any(letter.isspace() for letter in value):
        raise ValueError("an address such as http://HOST[:PORT], or one that the scenario's client understands")
    return value


def redis_url(value: str) -> str:
    """A Redis address in the form that the Redis client takes."""
    allowed = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH"
    parts = _split(value, allowed)
    known = parts.scheme in {"redis", "rediss", "unix"} and value.startswith(f"{value[: len(parts.scheme)]}://")
    if not known or not (parts.hostname or parts.path):
        raise ValueError(allowed)
    return value


def _split(value: str, allowed: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  (reading it validates it)
        if parts.hostname:
            host(parts.hostname)
    except ValueError:
        raise ValueError(allowed) from None
    return parts
