"""The one rule by which load tests of the documentation become short ones; no command is written again by hand.

Lengths are at most `LENGTH_S`, users and rates at most `USERS` and `RATE`, workers at most `WORKERS`. A run that does
not say how long it lasts, or how many users it has, gets these. Addresses become those of a `Stage`, on this machine,
and short names of options long ones. Objectives, file names and every other option stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["LENGTH_S", "RATE", "USERS", "WORKERS", "Stage", "on_stage", "shortened"]

LENGTH_S: Final = 1
USERS: Final = 5
RATE: Final = 20
WORKERS: Final = 2
_DURATION: Final = re.compile(r"\d+(?:\.\d+)?(?:ms|s|m|h)\b")
_PER_SECOND: Final = re.compile(r"(\d+)/s")
_LONG: Final = {"-u": "--users", "-r": "--spawn-rate", "-t": "--run-time", "-H": "--host"}
_LENGTHS: Final = frozenset({"--run-time", "--steady-state", "--over"})
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
    words = [_LONG.get(word, word) for word in words]
    rule = _rule(stage)
    return tuple(
        rule[before](word) if before in rule else word for before, word in zip(["", *words], words, strict=False)
    )


def shortened(words: Sequence[str], stage: Stage) -> tuple[str, ...]:
    """The words behind ``loadstone run`` made short, with the stage's addresses."""
    short = [*on_stage(words, stage)]
    if "--config" in short:  # whose file says all of this
        return (*short, *_USERS, "--warmup", _LENGTH, "--steady-state", _LENGTH)
    if not {"--users", "--rate"} & {*short}:
        short += _USERS
    return tuple(short if _says_how_long(short) else [*short, "--run-time", _LENGTH])


def _rule(stage: Stage) -> Mapping[str, Callable[[str], str]]:
    """What becomes of the value of an option."""
    return {
        **dict.fromkeys(("--run-time", "--steady-state", "--warmup"), _short),
        **dict.fromkeys(("--users", "--spawn-rate"), lambda value: str(min(int(value), USERS))),
        "--workers": lambda value: str(min(int(value), WORKERS)),
        "--rate": lambda value: _PER_SECOND.sub(lambda rate: f"{min(int(rate[1]), RATE)}/s", _short(value)),
        "--host": lambda _: stage.target,
        **dict.fromkeys(("--bind", "--master"), lambda _: "127.0.0.1"),
        "--master-port": lambda _: stage.port,
        "--redis-url": lambda _: stage.redis,
        "--target-pid": lambda _: stage.pid,
    }


def _short(text: str) -> str:
    """Every duration in a text, at most the length of a run."""
    return _DURATION.sub(lambda found: f"{min(parse.duration_s(found[0]), LENGTH_S):g}s", text)


def _says_how_long(words: Sequence[str]) -> bool:
    return bool(_LENGTHS & {*words}) or any(" over " in word for word in words)
