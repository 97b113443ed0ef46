"""The settings of ``loadstone capacity``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (dataclasses read annotations when they run)

from loadstone.settings import axes, parse
from loadstone.settings.load import setting
from loadstone.settings.records import RunSettings

__all__ = ["FARGATE_CPU", "FARGATE_MEMORY", "CapacitySettings"]

FARGATE_CPU, FARGATE_MEMORY = "0.04048", "0.004445"
"""List prices of AWS Fargate in us-east-1, March 2026: of a core and of a GiB, in USD an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySettings(RunSettings):
    """Settings of ``loadstone capacity``: those of its trials, and what the study is to find."""

    find: str | None = setting(
        parse.choice("users", "rate"),
        "what to find: `users`, the most that the target holds as it is, or `rate`, the most arrivals a second (open"
        " model); without it the cheapest limits for --users or --rate",
        metavar="WHAT",
    )
    users: int = setting(
        parse.whole_number(1),
        "number of users that the limits are to hold; with --find users that of the first trial",
        default="50",
        metavar="N",
        short="-u",
    )
    rate: tuple[str, ...] = setting(
        parse.lines,
        "arrivals that the limits are to hold, in place of --users, such as 500/s, 30000/m or 90000/h; with --find rate"
        " the rate of the first trial (50/s)",
        metavar="RATE",
        repeatable=True,
    )
    at_least: str | None = setting(
        parse.some_text("a number of users, or a rate"),
        "fewest users to try (1) or, with --find rate, the lowest rate (1/s); if these do not hold, no more is tried",
        metavar="LOAD",
    )
    at_most: str | None = setting(
        parse.some_text("a number of users, or a rate"),
        "most users to try (100000) or, with --find rate, the highest rate (100000/s)",
        metavar="LOAD",
    )
    cpu: tuple[float, ...] | None = setting(
        axes.cores,
        "cores of one replica to try: 0.25..3 (in steps of its lower end), 0.25..3/0.5, or a list such as 0.5,1,2",
        metavar="RANGE",
    )
    memory: tuple[int, ...] | None = setting(
        axes.memory,
        "memory of one replica to try: 256m..6g (in steps of its lower end), 1g..6g/512m, or a list such as 512m,1g",
        metavar="RANGE",
    )
    replicas: tuple[int, ...] = setting(
        axes.replicas, "numbers of replicas to try: 1..4, or a list such as 1,2,4", default="1", metavar="RANGE"
    )
    rig: str = setting(
        parse.choice("stack", "cgroup"),
        "what gets the limits without --compose-file and --apply: `stack`, the target of loadstone's stack that is up,"
        " or `cgroup`, the demo target on this machine in a control group",
        default="stack",
        metavar="WHAT",
    )
    compose_file: tuple[Path, ...] = setting(
        parse.paths,
        "compose file of the project whose service is to get the limits; without it loadstone's stack that is up",
        metavar="FILE",
        repeatable=True,
        one_each=True,
    )
    service: str = setting(
        parse.some_text("a service"),
        "service of --compose-file that is to get the limits",
        default="target",
        metavar="NAME",
    )
    apply: str | None = setting(
        parse.some_text("a command"),
        "command that gives the target its limits, from CPU, MEMORY and REPLICAS in its environment",
        metavar="COMMAND",
    )
    restore: str | None = setting(
        parse.some_text("a command"),
        "command that puts back, at the end, what was there before --apply",
        metavar="COMMAND",
    )
    apply_timeout: float = setting(
        parse.positive_duration_s,
        "how long the target may take to be ready with new limits",
        default="5m",
        metavar="TIME",
    )
    price_cpu: float = setting(
        parse.number_from(0),
        "price of one core for an hour; the default is that of AWS Fargate in us-east-1, in USD, March 2026",
        default=FARGATE_CPU,
        metavar="PRICE",
    )
    price_memory: float = setting(
        parse.number_from(0),
        "price of one GiB of memory for an hour; see --price-cpu",
        default=FARGATE_MEMORY,
        metavar="PRICE",
    )
    price_replica: float = setting(
        parse.number_from(0), "price of a replica in itself for an hour", default="0", metavar="PRICE"
    )
    measure: float | None = setting(
        parse.positive_duration_s,
        "how long a trial measures after ramp and warm-up: 30s for users (first looks half of it, the proof four times"
        " as long), 60s for limits (twice as long when one is tried again)",
        metavar="TIME",
    )
    warmup: float = setting(
        parse.duration_s, "time after the ramp of a trial that is not measured", default="10s", metavar="TIME"
    )
    budget: float | None = setting(
        parse.positive_duration_s,
        "begin no trial that would end after this time, which counts the measurement of the generator and, when a study"
        " is resumed, the trials that it made before",
        metavar="TIME",
    )
    trials: int | None = setting(
        parse.whole_number(1), "begin no more trials than these, those before a --resume included", metavar="N"
    )
