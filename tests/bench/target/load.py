"""A load generator on raw sockets, cheap enough to run 10,000 users next to the target on two cores.

As a program it reads a JSON plan from standard input and writes a JSON result to standard output. Each user connects
once, starts after a random delay, sends a request, reads the whole answer, waits, and sends the next one. It accepts
loopback addresses only.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from array import array
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECTS_AT_ONCE = 200


@dataclass(kw_only=True)
class Plan:
    """The load: ``users`` send ``bodies`` in turn to ``path`` for ``seconds`` after all of them have connected.

    Answers in the first ``warmup_s`` are not counted. The CPU time of the processes ``pids`` is read after the warm-up
    and at the end, so that the CPU time per request is that of the steady state.
    """

    port: int
    users: int
    seconds: float
    think_s: tuple[float, float] = (0.0, 0.0)
    host: str = "127.0.0.1"
    path: str = "/predict"
    bodies: list[str] = field(default_factory=list)
    warmup_s: float = 0.0
    pids: list[int] = field(default_factory=list)
    patience_s: float = 60.0
    requests: int = 0  # stop after this many answers; 0 means after ``seconds`` only


@dataclass(kw_only=True)
class Result:
    """The result; latencies in ms are over all answered requests."""

    sent: int
    answered: int
    failed: int
    unanswered: int
    seconds: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[str, int]
    connections: int
    in_time: int = 0  # answered before the load ended; the others within ``patience_s`` after it
    cpu_s: float = 0.0
    cpu_ms: float = 0.0
    rss_mb: float = 0.0

    @property
    def per_second(self) -> float:
        return self.in_time / self.seconds


class Load:
    """The state that all users share."""

    def __init__(self, plan: Plan) -> None:
        assert plan.host in _LOOPBACK, "the load generator accepts loopback addresses only"
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.requests = [_request(plan, body) for body in plan.bodies]
        self.latencies_s = array("d")
        self.statuses: dict[str, int] = {}
        self.sent = self.failed = self.waiting = 0
        self.running = False
        self.enough = asyncio.Event()
        self.started_s = self.started_cpu_s = 0.0

    def begin(self) -> None:
        """Start counting."""
        self.latencies_s, self.statuses, self.failed, self.sent = array("d"), {}, 0, self.waiting
        self.started_s, self.started_cpu_s = time.perf_counter(), cpu_seconds(self.plan.pids)

    def count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if not status.startswith("2"):
            self.failed += 1
        if self.plan.requests and len(self.latencies_s) + self.failed >= self.plan.requests:
            self.running = False
        if not self.running and self.waiting == 0:
            self.enough.set()


class User(asyncio.Protocol):
    """One connection: sends a request, waits for the whole answer, waits the think time, and sends again."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_s = 0.0
        self._expects = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def start(self) -> None:
        low, high = self._load.plan.think_s
        self._load.loop.call_later(random.uniform(0, (low + high) / 2), self._send)

    def _send(self) -> None:
        load = self._load
        if not load.running:
            return
        if self._transport.is_closing():
            load.count("closed")
            return
        load.sent += 1
        load.waiting += 1
        self._expects = True
        self._sent_s = time.perf_counter()
        self._transport.write(load.requests[load.sent % len(load.requests)])

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or len(rest) < _length(head):
            return
        load = self._load
        self._buffer, self._expects = b"", False
        load.waiting -= 1
        load.latencies_s.append(time.perf_counter() - self._sent_s)
        load.count(head[9:12].decode())
        low, high = load.plan.think_s
        if high:
            load.loop.call_later(random.uniform(low, high), self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._expects:
            self._expects = False
            self._load.waiting -= 1
            self._load.count("lost")

    def close(self) -> None:
        self._transport.abort()


async def drive(plan: Plan) -> Result:
    """Connect all users, run the load, wait for the last answers, and return the result."""
    load = Load(plan)
    users = await _connect(load)
    load.running = True
    load.begin()
    for user in users:
        user.start()
    if plan.warmup_s:
        await asyncio.sleep(plan.warmup_s)
        load.begin()
    try:
        await asyncio.wait_for(load.enough.wait() if plan.requests else asyncio.sleep(plan.seconds), plan.seconds)
    except TimeoutError:
        load.running = False
    seconds, cpu_s = time.perf_counter() - load.started_s, cpu_seconds(plan.pids) - load.started_cpu_s
    answered, rss_mb = len(load.latencies_s), rss_bytes(plan.pids) / 1e6
    load.running = False
    end_s = time.perf_counter() + plan.patience_s
    while load.waiting and time.perf_counter() < end_s:  # noqa: ASYNC110 - polled ten times a second, not on the hot path
        await asyncio.sleep(0.1)
    result = _result(load, seconds, len(users))
    for user in users:
        user.close()
    return replace(result, in_time=answered, cpu_s=cpu_s, cpu_ms=cpu_s * 1000 / max(answered, 1), rss_mb=rss_mb)


async def _connect(load: Load) -> list[User]:
    users: list[User] = []
    while len(users) < load.plan.users:
        count = min(_CONNECTS_AT_ONCE, load.plan.users - len(users))
        made = [load.loop.create_connection(lambda: User(load), load.plan.host, load.plan.port) for _ in range(count)]
        users += [user for _, user in await asyncio.gather(*made)]
    return users


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes so far (proc(5), fields 14 and 15 of stat)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes(pids: list[int]) -> int:
    """Resident memory of the processes now (proc(5), second field of statm)."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def _request(plan: Plan, body: str) -> bytes:
    head = f"POST {plan.path} HTTP/1.1\r\nhost: {plan.host}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


def _result(load: Load, seconds: float, connections: int) -> Result:
    times = sorted(load.latencies_s) or [0.0]

    def at(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))] * 1000

    return Result(
        sent=load.sent,
        answered=len(load.latencies_s),
        failed=load.failed + load.waiting,
        unanswered=load.waiting,
        seconds=seconds,
        mean_ms=sum(times) / len(times) * 1000,
        p50_ms=at(0.5),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        max_ms=times[-1] * 1000,
        statuses=dict(load.statuses),  # a copy, because closing the connections changes it
        connections=connections,
    )


if __name__ == "__main__":
    given = Plan(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(asdict(runner.run(drive(given))), sys.stdout)
