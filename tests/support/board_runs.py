"""Three real runs in one InfluxDB for the boards: a quiet one, one with a rate, and one with failures.

The last one also has two services and a lost worker. The one with a rate has too few users, so that some arrivals are
not sent.

The service `target` is measured as it is. Limits, throttling, network and out-of-memory kills need root to be had, so
the service `balancer` is a double: two containers whose usage a thread publishes each second on the real stream.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from loadstone.domain.usage_tick import Usage, UsageTick, encode_usage
from loadstone.stream.inbox import send_usage
from support.loadstone_run import SCENARIOS, LoadstoneRun

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer
    from support.redis_server import RedisServer

__all__ = ["MIB", "BoardRuns", "balancer_rows", "run_for_boards"]

MIB = 2**20
USERS = 12
SATURATED = 13
"""By this second the first container of the double has reached all of its limits."""
OBJECTIVES = ("--objective", "p95<500ms", "--objective", "failures<=1%", "--objective", "mean<250ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRuns:
    """The folders of the runs, and the InfluxDB that contains them."""

    influx: InfluxServer
    quiet: Path
    paced: Path
    eventful: Path


def balancer_rows(second: int) -> tuple[Usage, ...]:
    """Return the usage of the double's two containers: one saturates, and is killed now and then for lack of memory."""
    heat, killed = min(1.0, 0.1 * second), int(second % 5 == 4)  # so a run has kills whenever it starts
    mem_bytes = min(100 + 2 * second, 126) * MIB
    return (
        Usage(service="balancer", container="balancer 1/a", cpu_cores=2 * heat, cpu_limit=2.0, throttled_pct=60 * heat,
              mem_bytes=mem_bytes, mem_limit=128 * MIB, rx_bps=1e6 * heat, tx_bps=2e6 * heat, oom=killed),
        Usage(service="balancer", container="balancer-2", cpu_cores=0.5, cpu_limit=2.0, throttled_pct=0.0,
              mem_bytes=64 * MIB, mem_limit=128 * MIB, rx_bps=5e5, tx_bps=1e6),
    )  # fmt: skip


class Publisher(threading.Thread):
    """Publishes the double's usage every second, as a sampler does; ``second`` is the next one to publish."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        self.second = 0
        self._client = client
        self._ended = threading.Event()

    def run(self) -> None:
        """Publish until stopped."""
        while not self._ended.wait(1 - time.time() % 1):
            rows = balancer_rows(self.second)
            tick = UsageTick(at_ns=time.time_ns(), source="double", seq=self.second, rows=rows)
            send_usage(self._client, encode_usage(tick))
            self.second += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self.join()


def run_for_boards(
    folder: Path,
    influx: InfluxServer,
    valkey: RedisServer,
    target: CountingServer,
    *,
    steady: int = 250,
    quiet_s: int = 5,
    invented: bool = True,
) -> BoardRuns:
    """Run the runs one after the other, which takes about a minute.

    ``steady``: requests that are awaited after the worker's loss; ``quiet_s``: length of the quiet run. ``invented``:
    whether the double is there; without it, the target is measured in every run.
    """
    target.configure(latency_ms=3, failures={"/fragile": 0.3})
    common = ("-f", str(SCENARIOS / "named.py"), "--host", target.url, "-r", "10", "--plain",
              "--influx-url", influx.url, "--redis-url", valkey.url, *OBJECTIVES)  # fmt: skip
    users, pids = ("-u", str(USERS)), ("--target-pid", str(target.pid))
    measured = () if invented else pids
    rate = ("--rate", "60/s", "--max-users", "4", "-t", "11s", "--workers", "2", "--seed", "7")
    paced = LoadstoneRun(folder / "paced", (*common, *measured, *rate))
    quiet = LoadstoneRun(folder / "quiet", (*common, *measured, *users, "-t", f"{quiet_s}s", "--workers", "2"))
    eventful = LoadstoneRun(folder / "eventful", (*common, *users, *pids, "-t", "120s", "--workers", "3"))
    runs = (paced, quiet, eventful)
    try:
        paced.run()
        quiet.run()
        client = valkey.client()
        client.delete(*client.scan_iter(match="live:*"))  # so that the next live snapshot belongs to the next run
        running = eventful.start()
        # The run has to be there first, to see every second of the double; starting takes long on a busy machine.
        running.wait_for(lambda: running.live(client), timeout_s=120)
        with Publisher(client) if invented else nullcontext() as publisher:
            _lose_a_worker(running, client, target, steady)
            eventful.wait_for(lambda: publisher is None or publisher.second > SATURATED or None)
            eventful.send(signal.SIGINT)
        assert eventful.finish() == 130, eventful.output
    finally:
        for run in runs:
            if run.process is not None:
                run.kill_leftovers()
    for run in runs:
        ledger = run.run_json()["ledgers"]["influx"]
        assert ledger == {"stored": run.rows(), "rejected": 0, "pending": 0}
    return BoardRuns(influx=influx, quiet=quiet.run_folder(), paced=paced.run_folder(), eventful=eventful.run_folder())


def _lose_a_worker(run: LoadstoneRun, client: Redis, target: CountingServer, steady: int) -> None:
    def users() -> int | None:
        return (run.live(client) or {}).get("users")

    def received(more: int) -> None:
        begun = target.count().total
        run.wait_for(lambda: target.count().total > begun + more or None)

    run.wait_for(lambda: users() == USERS or None)
    received(100)
    run.part("--worker ").send_signal(signal.SIGKILL)
    run.wait_for_moved_users(USERS)
    received(steady)
