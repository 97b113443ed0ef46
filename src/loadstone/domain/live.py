"""LiveSnapshot: what is known about a run while it runs, as one typed record that every view formats for itself.

The Aggregator publishes it once or twice a second, in Redis and on the live page's server. The terminal, the live page,
the Locust tab and `loadstone run --stack` read it. It is defined here because hook and collector both use it. Fields
that a reader does not know are ignored, so fields may be added; none is renamed.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from loadstone.domain.arrival_counts import ArrivalCounts  # noqa: TC001  (msgspec resolves it at run time)
from loadstone.domain.time import NS_PER_S

__all__ = [
    "KEEP_FROM_CLOSING",
    "InfluxLedger",
    "LiveLedger",
    "LiveObjective",
    "LiveSecond",
    "LiveSnapshot",
    "LiveStage",
    "LiveUsage",
    "Phase",
    "RunStatus",
    "Trouble",
    "container_label",
    "decode_live",
    "encode_live",
]

Phase = Literal["ramping up", "running", "stopping", "closing", "closed"]


class LiveUsage(Struct, frozen=True, kw_only=True):
    """What one container or process used at its newest tick; a limit is None where there is none.

    ``oom``: its out-of-memory kills in the run so far, added up over all ticks.
    """

    service: str
    container: str
    cpu_cores: float
    cpu_limit: float | None
    mem_bytes: int
    mem_limit: int | None
    throttled_pct: float | None = None
    oom: int = 0


class LiveObjective(Struct, frozen=True, kw_only=True):
    """An objective over the newest minute of the window, or, where ``since_opened``, over all of it so far.

    ``ok`` is None where that decides nothing, and ``reason`` says why.
    """

    text: str
    value: float | None
    unit: str
    ok: bool | None
    reason: str
    since_opened: bool = False


class LiveSecond(Struct, frozen=True, kw_only=True):
    """All requests that ended in the second ``at`` (since 1970); ``p95_ms`` is None where none of them has a time."""

    at: int
    requests: int
    p95_ms: float | None


class LiveStage(Struct, frozen=True, kw_only=True):
    """The stage of the rate of arrivals that is due: the ``number``-th, from 1, ``of`` so many, and its text."""

    number: int
    of: int
    text: str


class LiveLedger(Struct, frozen=True, kw_only=True):
    """The archive's ledger if the run were closed now; see `loadstone.domain.ledger.Ledger`."""

    produced: int
    stored: int
    dropped: int
    unknown: int
    unbalanced: tuple[str, ...] = ()
    off_by: int = 0

    @property
    def balances(self) -> bool:
        """As `Ledger.balances`."""
        return not self.unbalanced


class InfluxLedger(Struct, frozen=True, kw_only=True):
    """InfluxDB's ledger as it is now."""

    stored: int
    rejected: int
    pending: int


class Trouble(Struct, frozen=True, kw_only=True):
    """What keeps a part of the platform from its work right now, and what to do.

    ``part`` is the part that is in trouble, as people call it: ``archive``, ``InfluxDB``, ``usage``. ``text`` is a
    sentence with cause and cure. It lasts since ``since_ns`` (wall clock).
    """

    part: str
    text: str
    since_ns: int


KEEP_FROM_CLOSING: Final = frozenset({"archive", "stream"})
"""Parts of the platform in whose trouble no run can be closed."""


class LiveSnapshot(Struct, frozen=True, kw_only=True):
    """The newest state of a run. Times are wall clock, ns, None before they are known.

    ``rps``, ``failure_share`` (0 to 1) and the percentiles are of the last ten full seconds, 0 without a request;
    ``requests`` and ``failures`` count the whole run. ``launch`` names the start of loadstone that it belongs to.
    ``host`` is the target. ``exited``: how Locust's master ended is known. ``closing``: its files are being made;
    ``closed``: they are in ``folder``. ``troubles``: what is wrong with the platform now; it goes when it is over.
    Under the open model the percentiles are of response times, ``service_p95_ms`` is one of service times, and
    ``arrivals`` are those of the whole run; ``planned_rps``, ``sent_rps`` and ``lateness_p99_ms`` are of arrivals in
    the last ten seconds. All of these are None under the closed model, and the lateness where no iteration began.
    ``open_model`` says from the start which of the two it is; ``stage`` is None until the schedule begins.
    ``warmup_s``: how long after the ramp the window opens, None where an older collector does not tell.
    ``seconds``: the last ten full ones, the oldest first.
    """

    run: str
    now_ns: int
    launch: str | None = None
    host: str | None = None
    started_ns: int | None = None
    ramp_done_ns: int | None = None
    stopping_ns: int | None = None
    interrupted: bool = False
    target_exited: bool = False
    exited: bool = False
    users: int
    target_users: int
    workers: int = 0
    requests: int
    failures: int
    rps: float
    failure_share: float
    p50_ms: float
    p95_ms: float
    p99_ms: float = 0.0
    objectives: tuple[LiveObjective, ...] = ()
    usage: tuple[LiveUsage, ...] = ()
    ledger: LiveLedger | None = None
    influx: InfluxLedger | None = None
    closing: bool = False
    closed: bool = False
    folder: str | None = None
    troubles: tuple[Trouble, ...] = ()
    service_p95_ms: float | None = None
    arrivals: ArrivalCounts | None = None
    planned_rps: float | None = None
    sent_rps: float | None = None
    lateness_p99_ms: float | None = None
    open_model: bool = False
    stage: LiveStage | None = None
    warmup_s: float | None = None
    seconds: tuple[LiveSecond, ...] = ()

    @property
    def phase(self) -> Phase:
        """What the run is doing."""
        if self.closed:
            return "closed"
        if self.closing:
            return "closing"
        if self.stopping_ns:
            return "stopping"
        return "running" if self.ramp_done_ns else "ramping up"

    @property
    def window_opens_in_s(self) -> float | None:
        """Seconds until the window opens, negative afterwards; None before the ramp is done."""
        if self.ramp_done_ns is None:
            return None
        return (self.warmup_s or 0.0) - (self.now_ns - self.ramp_done_ns) / NS_PER_S

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run was started, 0 before that."""
        return max(0, self.now_ns - (self.started_ns or self.now_ns)) / NS_PER_S

    def left_s(self, run_time_s: float | None, steady_s: float | None) -> float | None:
        """Seconds to the planned end: ``run_time_s`` after the start if given, else ``steady_s`` after the ramp.

        Under the open model both count from the end of the ramp, when the schedule begins. None when neither is given,
        and before the moment from which it counts.
        """
        begun_ns = self.ramp_done_ns if run_time_s is None or self.open_model else self.started_ns
        length_s = steady_s if run_time_s is None else run_time_s
        if begun_ns is None or length_s is None:
            return None
        return length_s - (self.now_ns - begun_ns) / NS_PER_S


class RunStatus(Struct, frozen=True, kw_only=True):
    """What a master says about its run, the current one or the last: Locust's state, and any snapshot.

    ``arrival_shape``: the name of the one in its scenario, which gives every run its rate.
    """

    run: str | None
    state: str
    users: int
    workers: int
    live: LiveSnapshot | None = None
    arrival_shape: str | None = None


def encode_live(live: LiveSnapshot) -> bytes:
    """The JSON that is published."""
    return msgspec.json.encode(live)


def decode_live(text: bytes | str) -> LiveSnapshot:
    """The snapshot that `encode_live` encoded. Raises `ValueError` for anything else."""
    return msgspec.json.decode(text, type=LiveSnapshot)


def container_label(service: str, container: str) -> str:
    """A container as people see it: with its service in front, unless its name begins with that."""
    return container if container.startswith(service) else f"{service} {container}"
