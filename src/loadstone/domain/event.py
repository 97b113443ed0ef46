"""Event and UsageTick: what happened to a run, and what containers, processes and balancers did at one moment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from loadstone.errors import FormatError

__all__ = [
    "Balance",
    "Event",
    "EventKind",
    "Usage",
    "UsageTick",
    "decode_event",
    "decode_usage",
    "encode_event",
    "encode_usage",
]


class EventKind(StrEnum):
    """What can happen to a run."""

    STARTED = "started"  # data: identity of the run
    ROSTER = "roster"  # data: workers = indexes of the workers that were told to spawn users
    USERS = "users"  # every second from the master. data: users, target_users, workers
    RAMP_DONE = "ramp_done"  # data: users
    STAGE = "stage"  # a load shape asked for another number of users. data: users, spawn_rate
    WORKER_JOINED = "worker_joined"  # data: worker
    WORKER_LOST = "worker_lost"  # data: worker, users
    STOPPING = "stopping"  # users are being stopped
    STOPPED = "stopped"  # data: requests, failures = Locust's own totals; aborted_by
    EXCEPTION = "exception"  # data: message, traceback, count, worker
    ORPHANED = "orphaned"  # a worker lost its master. data: worker
    TARGET_EXITED = "target_exited"  # data: code
    INTERRUPTED = "interrupted"  # a person or a supervisor ended the run early
    CRASHED = "crashed"  # a part of the platform ended by itself. data: part, code
    RESTARTED = "restarted"  # ... and was started again. data: part
    NAMES_CAPPED = "names_capped"  # data: limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run, at ``at_ns`` (wall clock, ns). ``(source, seq)`` is unique."""

    run: str
    kind: EventKind
    at_ns: int
    source: str
    seq: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one container or process used at one tick.

    Cores for CPU, bytes for memory, bytes per second for the network; a limit is None where there is none.
    ``throttled_pct`` is the share of scheduling periods in which it was held back; ``oom`` counts out-of-memory kills
    since the tick before.
    """

    service: str
    container: str
    cpu_cores: float
    cpu_limit: float | None = None
    throttled_pct: float | None = None
    mem_bytes: int = 0
    mem_limit: int | None = None
    rx_bps: float | None = None
    tx_bps: float | None = None
    oom: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a load balancer did for one service: ``queue`` requests wait now, ``up`` servers are there now.

    Since the tick before ``retries`` connections were tried again and ``redispatches`` requests went to another server.
    """

    service: str
    queue: int
    retries: int
    redispatches: int
    up: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTick:
    """All containers or processes, and balancers, at one moment. ``(source, seq)`` is unique."""

    at_ns: int
    source: str
    seq: int
    rows: tuple[Usage, ...]
    balances: tuple[Balance, ...] = ()


def encode_event(event: Event) -> bytes:
    """One event as JSON."""
    return json.dumps(asdict(event), separators=(",", ":"), default=str).encode()


def decode_event(blob: bytes) -> Event:
    """The event in a blob; raises `FormatError` when it is none."""
    try:
        values = json.loads(blob)
        values["kind"] = EventKind(values["kind"])
        return Event(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not an event: {error}") from error


def encode_usage(tick: UsageTick) -> bytes:
    """One tick as JSON."""
    return json.dumps(asdict(tick), separators=(",", ":")).encode()


def decode_usage(blob: bytes) -> UsageTick:
    """The tick in a blob; raises `FormatError` when it is none."""
    try:
        values = json.loads(blob)
        rows = tuple(Usage(**row) for row in values.pop("rows"))
        balances = tuple(Balance(**row) for row in values.pop("balances", ()))
        return UsageTick(rows=rows, balances=balances, **values)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not a usage tick: {error}") from error
