"""The one rule by which load tests of the documentation become short ones; no command is written again by hand.

Lengths are at most `LENGTH_S`, those of warm-ups `WARMUP_S`, users and rates at most `USERS` and `RATE`, workers at
most `WORKERS`. A run that does not say how long it lasts, or how many users it has, gets these, and a word that stands
for a number becomes the highest one. Addresses become those of a `Stage`, on this machine, and short names of options
long ones. Objectives, file names and every other option stay as they are. `excess` tells what the rule has missed.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from loadstone.domain.arrival_rate import Stage as RateStage
    from loadstone.settings import RunSettings

__all__ = ["LENGTH_S", "RATE", "USERS", "WARMUP_S", "WORKERS", "Stage", "excess", "on_stage", "shortened"]

LENGTH_S: Final = 3
"""A busy machine answers each request of a scenario at least once in this time, so every objective is measured."""
WARMUP_S: Final = 1
USERS: Final = 5
RATE: Final = 20
WORKERS: Final = 2
_OVER: Final = re.compile(r"(?<=\bover )\s*\S.*")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/([smh])\b")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LONG: Final = {"-u": "--users", "-r": "--spawn-rate", "-t": "--run-time", "-H": "--host"}
_LENGTHS: Final = frozenset({"--run-time", "--steady-state", "--over"})
_SEVERAL: Final = frozenset({"--rate"})
"""Options of which one may have several values."""
_USERS: Final = ("--users", str(USERS), "--spawn-rate", str(USERS))
_LENGTH: Final = f"{LENGTH_S}s"


class Stage(NamedTuple):
    """What stands for the machines that the documentation names: addresses, ports and a process id."""

    target: str = "http://target.test"
    redis: str = "redis://redis.test"
    port: str = "5557"
    pid: str = "1"


def on_stage(words: Sequence[str], stage: Stage) -> tuple[str, ...]:
    """The words of a command with the values that the rule allows, and the stage's addresses; none is added."""
    rule, found, option = _rule(stage), [], ""
    for word in _apart(words):
        if word.startswith("-"):
            found.append(option := word)
            continue
        found.append(rule[option](word) if option in rule else word)
        option = option if option in _SEVERAL else ""
    return tuple(found)


def shortened(words: Sequence[str], stage: Stage) -> tuple[str, ...]:
    """The words behind ``loadstone run`` made short, with the stage's addresses."""
    short = [*on_stage(words, stage)]
    if "--config" in short:  # whose file says all of this
        return (*short, *_USERS, "--warmup", f"{WARMUP_S}s", "--steady-state", _LENGTH)
    if not {"--users", "--rate"} & {*short}:
        short += _USERS
    return tuple(short if _says_how_long(short) else [*short, "--run-time", _LENGTH])


def excess(settings: RunSettings) -> Iterator[str]:
    """A sentence on all that is more in a load test than the rule allows."""
    stages = parse_stages(settings.rate)
    if not stages and settings.users > USERS:
        yield f"it has {settings.users} users, more than {USERS}"
    if stages and (peak := RateCurve(stages).peak) > RATE:
        yield f"{peak:g} iterations arrive a second, more than {RATE}"
    lengths_s = [settings.run_time, settings.steady_state, settings.over, *_ends_s(stages)]
    if not any(lengths_s):
        yield "nothing says how long it lasts"
    if (longest_s := max((each for each in lengths_s if each), default=0)) > LENGTH_S:
        yield f"a part of it lasts {longest_s:g} s, more than {LENGTH_S}"
    if settings.warmup > WARMUP_S:
        yield f"its warm-up lasts {settings.warmup:g} s, more than {WARMUP_S}"


def _ends_s(stages: Sequence[RateStage]) -> Iterator[float]:
    return (stage.over_s for stage in stages if isfinite(stage.over_s))


def _apart(words: Sequence[str]) -> Iterator[str]:
    """The words with long names of options, and each value in a word of its own."""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        yield _LONG.get(name, name)
        if equals:
            yield value


def _rule(stage: Stage) -> Mapping[str, Callable[[str], str]]:
    """What becomes of the value of an option."""
    return {
        **dict.fromkeys(_LENGTHS, _short),
        "--warmup": lambda value: _short(value, WARMUP_S),
        **dict.fromkeys(("--users", "--spawn-rate", "--max-users"), lambda value: _fewer(value, USERS)),
        "--workers": lambda value: _fewer(value, WORKERS),
        "--rate": lambda value: _RATE.sub(_slower, _OVER.sub(lambda found: _short(found[0]), value)),
        "--host": lambda _: stage.target,
        **dict.fromkeys(("--bind", "--master"), lambda _: "127.0.0.1"),
        "--master-port": lambda _: stage.port,
        "--redis-url": lambda _: stage.redis,
        "--target-pid": lambda _: stage.pid,
    }


def _fewer(value: str, most: int) -> str:
    return value if value.isdecimal() and int(value) <= most else str(most)


def _slower(rate: re.Match[str]) -> str:
    return rate[0] if float(rate[1]) / _SECONDS[rate[2]] <= RATE else f"{RATE}/s"


def _short(text: str, most_s: int = LENGTH_S) -> str:
    try:
        return f"{min(parse.duration_s(text), most_s):g}s"
    except ValueError:  # a word that stands for one
        return f"{most_s}s"


def _says_how_long(words: Sequence[str]) -> bool:
    return bool(_LENGTHS & {*words}) or any(" over " in word for word in words)
