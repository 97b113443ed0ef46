"""What the terminal says about a run in progress: its phase, its figures and its objectives, as words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.arrival_doubts import LATENESS_FLOOR_MS
from loadstone.domain.live import container_label
from loadstone.domain.objective import number_text, parse_objective
from loadstone.domain.time import NS_PER_S
from loadstone.domain.units import MIB
from loadstone.errors import LoadstoneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loadstone.domain.live import LiveObjective, LiveSnapshot, LiveUsage

__all__ = [
    "RECENT",
    "Fact",
    "clock",
    "facts",
    "objective_result",
    "objective_value",
    "phase_of",
    "phase_text",
    "phases",
]

RECENT: Final = "last 10 s"
"""What a snapshot's rate, share of failures and percentiles are of."""
_MOST_STAGES: Final = 20
"""A rate of more stages was sampled from a function of the scenario, and their numbers mean nothing to anybody."""
_MOST_DIGITS: Final = 9
_RESULTS: Final[Mapping[bool | None, str]] = {True: "would hold", False: "would miss", None: "undecided"}


class Fact(NamedTuple):
    """A figure with its name."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


def phases(live: LiveSnapshot) -> tuple[str, ...]:
    """The phases of this run, in order."""
    return ("ramp", *(("warm-up",) if live.warmup_s else ()), "window", "stop", "archive")


def phase_of(live: LiveSnapshot) -> str:
    """Which of its `phases` the run is in."""
    if live.closing or live.closed:
        return "archive"
    if live.stopping_ns:
        return "stop"
    opens_in_s = live.window_opens_in_s
    if opens_in_s is None:
        return "ramp"
    return "warm-up" if live.warmup_s and opens_in_s > 0 else "window"


def phase_text(live: LiveSnapshot, ends_in_s: float | None, since_s: float) -> str:
    """How far the phase is, or how long it still takes, as far as that is known; ``since_s``: seconds it has taken."""
    if live.closed:
        return "the archive is complete"
    opens_in_s = live.window_opens_in_s or 0.0
    match phase_of(live):
        case "ramp":
            return f"{live.users:,} of {live.target_users:,} users run"
        case "warm-up":
            return f"the window opens in {clock(opens_in_s)}"
        case "window":
            return f"open for {clock(-opens_in_s)}" if ends_in_s is None else f"{clock(ends_in_s)} left"
        case "stop":
            return f"requests in flight may finish: {clock(since_s)}"
        case _:
            return f"the archive is being written: {clock(since_s)}"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, never less than nothing."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"


def load_s(live: LiveSnapshot) -> float:
    """For how many seconds there has been load: until users began to stop, or until now."""
    until_ns = live.stopping_ns or live.now_ns
    return max(0, until_ns - (live.started_ns or until_ns)) / NS_PER_S


def facts(live: LiveSnapshot) -> list[Fact]:
    """Users, the counts of the whole run, and arrivals where there are any."""
    return [
        Fact("users", f"{live.users:,}/{live.target_users:,}"),
        Fact("requests", f"{live.requests:,}"),
        Fact("failures", f"{live.failures:,}"),
        *_arrivals(live),
        *_stage(live),
    ]


def _arrivals(live: LiveSnapshot) -> Iterator[Fact]:
    """At which rate iterations begin and should, under the open model; and which did not, or did late, if any."""
    if live.planned_rps is None or live.sent_rps is None:
        return
    yield Fact("arrivals/s", f"{live.sent_rps:,.1f}/{live.planned_rps:,.1f}")
    if live.arrivals and live.arrivals.not_sent:
        yield Fact("not sent", f"{live.arrivals.not_sent:,}")
    if (late_ms := live.lateness_p99_ms) is not None and late_ms > LATENESS_FLOOR_MS:
        yield Fact("late p99", f"{late_ms:,.1f} ms")


def _stage(live: LiveSnapshot) -> Iterator[Fact]:
    """Which stage of the rate is due, if there are several."""
    if live.stage is not None and 1 < live.stage.of <= _MOST_STAGES:
        yield Fact("stage", f"{live.stage.number} of {live.stage.of}: {live.stage.text}")


def recent_text(live: LiveSnapshot) -> str:
    """The figures of the last ten full seconds, as the live page's tiles have them."""
    rate, failed = f"{live.rps:,.1f} requests/s", f"{failed_share(live)} failed"
    times = {"p50": live.p50_ms, "p95": live.p95_ms}
    return ", ".join([rate, failed, *(f"{name} {duration(live, ms)}" for name, ms in times.items())])


def failed_share(live: LiveSnapshot) -> str:
    """The share of failures in the last ten seconds, never rounded to none or all; a dash when nobody was answered."""
    if not live.rps:
        return "-"
    share, digits = live.failure_share, 1
    while 0 < share < 1 and round(100 * share, digits) in {0, 100} and digits < _MOST_DIGITS:
        digits += 1
    return f"{share:.{digits}%}"


def duration(live: LiveSnapshot, ms: float) -> str:
    """A duration of the last ten seconds; a dash when nobody was answered in them, or no answer has a time."""
    is_timed = not live.seconds or any(second.p95_ms is not None for second in live.seconds)
    return f"{ms:,.1f} ms" if live.rps and is_timed else "-"


def usages(live: LiveSnapshot) -> Iterator[Fact]:
    """CPU and memory of each container or process, by its service where that has only one."""
    services = Counter(usage.service for usage in live.usage)
    for usage in live.usage:
        is_only = services[usage.service] == 1
        yield Fact(usage.service if is_only else container_label(usage.service, usage.container), _usage(usage))


def _usage(usage: LiveUsage) -> str:
    cores = f"{usage.cpu_cores:.2f}" + (f"/{usage.cpu_limit:g}" if usage.cpu_limit else "")
    memory = f"{usage.mem_bytes / MIB:,.0f}" + (f"/{usage.mem_limit / MIB:,.0f}" if usage.mem_limit else "")
    return f"{cores} CPU, {memory} MiB"


def objective_value(objective: LiveObjective) -> str:
    """What an objective measures over the newest minute, or since the window opened; a dash where that is nothing."""
    if objective.value is None:
        return "-"
    try:
        limit: float | None = parse_objective(objective.text).limit
    except LoadstoneError:  # a collector of another version may know more of them
        limit = None
    unit = "/s" if objective.unit == "1/s" else f" {objective.unit}".rstrip()
    return f"{number_text(objective.value, limit)}{unit}"


def objective_result(objective: LiveObjective) -> str:
    """How it would come out if its newest minute were the window, which is no verdict."""
    return _RESULTS[objective.ok]
