"""What recording a request costs the load generator, beside the ways in which others send metrics to InfluxDB.

Micro-benchmark: CPU per request of the listener alone, and with everything that follows (packing and one RPUSH each
half second). Macro-benchmark: one saturated `FastHttpUser` process, the contenders one after the other in interleaved
rounds; ratios are taken within a round, the median counts.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions

from loadstone.domain.batch import encode_batch
from loadstone.domain.request_name import RequestName
from loadstone.hook.inspect_scenario import PLUGIN_FILE
from loadstone.hook.recorder import Recorder
from loadstone.stream.keys import SAMPLES, inbox
from support.collecting import send_blob
from support.instant_server import InstantServer
from support.run_maker import IncarnationMaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.redis_server import RedisServer
    from support.starters import StartCountingServer

ROUNDS = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))
FIRES = 200_000
A_FLUSH = 2500
SHORT_S, LONG_S = 3, 9
SATURATED = Path(__file__).with_name("saturated.py")
SHARE_ROUNDS = 30

SCENARIO = """
from locust import FastHttpUser, task
class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/page")
"""
CLASSIC = """
import os
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from locust import events
client = InfluxDBClient(os.environ["CLASSIC_URL"], "token", org="o")
options = SYNCHRONOUS if os.environ["CLASSIC"] == "synchronous" else WriteOptions(batch_size=5000, flush_interval=1000)
api = client.write_api(options)
@events.request.add_listener
def record(request_type, name, response_time, response_length, exception=None, **_):
    point = Point("request").tag("method", request_type).tag("name", name).tag("ok", "f" if exception else "t")
    api.write("b", "o", point.field("rt_ms", float(response_time)).field("bytes", int(response_length)))
"""


def cpu_us(work: Callable[[], None], n: int) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / n * 1e6


def told(what: str, costs: list[float]) -> None:
    print(f"\n{what}: median {median(costs):.2f} us of CPU a request (spread {min(costs):.2f} to {max(costs):.2f})")


def fire(record: Callable[..., None], n: int) -> None:
    for _ in range(n):
        record(
            request_type="POST",
            name="/predict",
            response_time=12.5,
            response_length=120,
            response=None,
            context={},
            exception=None,
            start_time=0.0,
            url="/predict",
        )


def bench_listener_and_flush(valkey: RedisServer) -> None:
    client, incarnation = valkey.client(), IncarnationMaker()

    def with_flush(recorder: Recorder) -> None:
        for _ in range(FIRES // A_FLUSH):
            fire(recorder.record, A_FLUSH)
            taken = recorder.take()
            names = tuple(RequestName(*name) for name in taken.names)
            batch = replace(incarnation.batch([], at_s=1), columns=taken.columns, names=names, errors=taken.errors)
            blob = encode_batch(batch)
            send_blob(client, SAMPLES, blob)

    alone, everything = [], []
    for _ in range(ROUNDS):
        alone.append(cpu_us(partial(fire, Recorder().record, FIRES), FIRES))
        everything.append(cpu_us(partial(with_flush, Recorder()), FIRES))
        client.delete(inbox(SAMPLES))
    told("listener alone", alone)
    told(f"listener, packing, proof and RPUSH of {A_FLUSH}", everything)


def bench_classic_ways(tmp_path: Path) -> None:
    """The same request as a `Point`, written synchronously and by the batching interface."""

    def record_with(api: Any, request_type: str, name: str, response_time: float, **_: object) -> None:
        point = Point("request").tag("method", request_type).tag("name", name).tag("ok", "t")
        api.write("b", "o", point.field("rt_ms", response_time).field("bytes", 120))

    with InstantServer(tmp_path) as server:
        for what, options, n in (
            ("Point, synchronous", SYNCHRONOUS, 2000),
            ("Point, batching", WriteOptions(batch_size=5000, flush_interval=1000), 20_000),
        ):
            client = InfluxDBClient(server.url, "token", org="o")
            api = client.write_api(options)
            told(what, [cpu_us(partial(fire, partial(record_with, api), n), n) for _ in range(ROUNDS)])
            api.close()
            client.close()


def saturated(folder: Path, target: str, plugin: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Requests/s and CPU us per request of one Locust process that runs as fast as it can.

    The difference between a long and a short run: what starting and ending cost is no request's.
    """
    short = one_run(folder, target, plugin, environment, SHORT_S)
    long = one_run(folder, target, plugin, environment, LONG_S)
    requests = long[0] - short[0]
    return requests / (LONG_S - SHORT_S), (long[1] - short[1]) / requests * 1e6


def one_run(
    folder: Path, target: str, plugin: list[str], environment: dict[str, str], seconds: int
) -> tuple[int, float]:
    """Requests and CPU seconds of one process."""
    scenario = folder / "scenario.py"
    scenario.write_text(SCENARIO)
    (folder / "classic.py").write_text(CLASSIC)
    files = ",".join([str(scenario), *plugin])
    command = [sys.executable, "-m", "locust", "-f", files, "--headless", "-u", "50", "-r", "50", "-H", target]
    command += ["-t", f"{seconds}s", "--only-summary", "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = json.loads(done.stdout[done.stdout.index("[") :])
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return sum(row["num_requests"] for row in rows), cpu_s


def bench_saturated_worker(valkey: RedisServer, start_counting_server: StartCountingServer, tmp_path: Path) -> None:
    target = start_counting_server().url
    classic = [str(tmp_path / "classic.py")]
    with InstantServer(tmp_path) as server:
        contenders: dict[str, tuple[list[str], dict[str, str]]] = {
            "no hook": ([], {}),
            "loadstone": ([str(PLUGIN_FILE)], {"LOADSTONE_REDIS_URL": valkey.url}),
            "Point, synchronous": (classic, {"CLASSIC": "synchronous", "CLASSIC_URL": server.url}),
            "Point, batching": (classic, {"CLASSIC": "batching", "CLASSIC_URL": server.url}),
        }
        rounds = [{name: saturated(tmp_path, target, *how) for name, how in contenders.items()} for _ in range(ROUNDS)]
    print("\none saturated FastHttpUser process, against no hook: requests/s, rate ratio (spread), CPU ratio (spread)")
    for name in contenders:
        rates = [each[name][0] / each["no hook"][0] for each in rounds]
        costs = [each[name][1] / each["no hook"][1] for each in rounds]
        rate = median(each[name][0] for each in rounds)
        print(
            f"{name:<20}{rate:>8,.0f}  {median(rates):.2f} ({min(rates):.2f}-{max(rates):.2f})"
            f"  {median(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})"
        )


def bench_share_of_a_saturated_worker(valkey: RedisServer, start_counting_server: StartCountingServer) -> None:
    """What the hook adds where it works, see `saturated`."""
    command = [sys.executable, str(SATURATED), start_counting_server().url, valkey.url, str(SHARE_ROUNDS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    shipping = median(found["shipping_us"])
    shares = [
        100 * (each["listener_us"] + shipping) / (each["cpu_us"] - each["listener_us"] / 2) for each in found["rounds"]
    ]
    print(f"\none saturated FastHttpUser process, {found['rps']:,.0f} requests/s")
    told("a request, with every other one recorded", [each["cpu_us"] for each in found["rounds"]])
    told("the listener, where it works", [each["listener_us"] for each in found["rounds"]])
    told("packing, sending, loop lag and process stats", found["shipping_us"])
    print(f"\nthe hook's share: median {median(shares):.2f} % (spread {min(shares):.2f} to {max(shares):.2f} %)")
