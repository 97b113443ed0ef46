"""Usage ticks: what containers, processes and balancers used at one moment.

They travel as JSON, by the rules of `loadstone.domain.event`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from loadstone.domain.limits import (
    MOST_USAGE_BYTES,
    Amount,
    Bytes,
    Figure,
    Id,
    Moment,
    Number,
    check_size,
)
from loadstone.errors import FormatError

__all__ = ["Balance", "Usage", "UsageTick", "decode_usage", "encode_usage"]


_MOST_ROWS: Final = 10_000
_Name = Annotated[str, Meta(max_length=1000)]


class Usage(Struct, frozen=True, kw_only=True):
    """What one container or process used at one tick.

    Cores for CPU, bytes for memory, bytes per second for the network; a limit is None where there is none.
    ``throttled_pct`` is the share of scheduling periods in which it was throttled; ``oom`` counts out-of-memory kills
    since the tick before, so whoever wants those of a longer time adds them up.
    """

    service: _Name
    container: _Name
    cpu_cores: Figure
    cpu_limit: Figure | None = None
    throttled_pct: Figure | None = None
    mem_bytes: Bytes = 0
    mem_limit: Bytes | None = None
    rx_bps: Figure | None = None
    tx_bps: Figure | None = None
    oom: Amount = 0


class Balance(Struct, frozen=True, kw_only=True):
    """What a load balancer did for one service: ``queue`` requests wait now, ``up`` servers are there now.

    Since the tick before, ``retries`` connections were tried again, and ``redispatches`` requests went to another
    server; ``requests`` came in from anybody, less those that a redirect led to. None: nobody counts them.
    """

    service: _Name
    queue: Amount
    retries: Amount
    redispatches: Amount
    up: Amount
    requests: Amount | None = None


class UsageTick(Struct, frozen=True, kw_only=True):
    """All containers or processes, and balancers, at one moment. ``(source, seq)`` is unique.

    ``problem`` says why figures of containers are missing or doubtful, with the cure; empty when all is well.
    """

    at_ns: Moment
    source: Id
    seq: Number
    rows: Annotated[tuple[Usage, ...], Meta(max_length=_MOST_ROWS)]
    balances: Annotated[tuple[Balance, ...], Meta(max_length=_MOST_ROWS)] = ()
    problem: Annotated[str, Meta(max_length=2000)] = ""


_DECODER: Final = msgspec.json.Decoder(UsageTick)
_ENCODER: Final = msgspec.json.Encoder()


def encode_usage(tick: UsageTick) -> bytes:
    """One tick as JSON."""
    return _ENCODER.encode(tick)


def decode_usage(blob: bytes) -> UsageTick:
    """The tick in a blob; raises `FormatError` when it is none."""
    check_size(blob, MOST_USAGE_BYTES, "a usage tick")
    try:
        return _DECODER.decode(blob)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a usage tick: {error}") from error
