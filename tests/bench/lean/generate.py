"""One generator process of the benchmark: runs one user class for a while and prints what it cost, as JSON.

python generate.py CLASS URL SECONDS USERS [--prepared] [--recorder] [--fix] [--wait LOW HIGH]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, HttpUser, between, constant, task
from locust.env import Environment

from loadstone import LeanHttpUser
from loadstone.lean import connections, locust_fast
from support.contenders import BODY

BASES = {"HttpUser": HttpUser, "FastHttpUser": FastHttpUser, "LeanHttpUser": LeanHttpUser}
WARM_UP_S = 1.0


def make_user(name: Any, url: str, *, prepared: Any, wait: Any):
    base = BASES[name]
    document = json.loads(BODY)
    body = BODY.encode()

    class BenchUser(base):
        host = url
        wait_time = between(*wait) if wait else constant(0)

        def on_start(self):
            if wait:
                gevent.sleep(random.uniform(0, wait[1]))
            if prepared:
                self.predict = self.client.prepare("POST", "/predict")

        @task
        def ask(self):
            if prepared:
                self.predict(body)
            else:
                self.client.post("/predict", json=document)

    BenchUser.__name__ = f"{name}Bench"
    return BenchUser


def rss_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(environment: Any, seconds: Any):
    stats = environment.stats.total
    before = time.process_time(), time.perf_counter(), stats.num_requests, connections.opened()
    gevent.sleep(seconds)
    cpu_s, wall_s = time.process_time() - before[0], time.perf_counter() - before[1]
    requests = stats.num_requests - before[2]
    return {
        "requests": requests,
        "failures": stats.num_failures,
        "cpu_s": round(cpu_s, 4),
        "wall_s": round(wall_s, 4),
        "per_cpu_s": round(requests / cpu_s),
        "us_per_request": round(cpu_s / max(1, requests) * 1e6, 2),
        "rps": round(requests / wall_s),
        "mean_ms": round(stats.avg_response_time, 3),
        "p99_ms": stats.get_response_time_percentile(0.99),
        "new_connections": connections.opened() - before[3],
        "rss_mb": round(rss_mb(), 1),
    }


def add_recorder(environment: Any):
    from loadstone.hook.recorder import Recorder

    recorder = Recorder()
    environment.events.request.add_listener(recorder.record)

    def drain():
        while True:
            gevent.sleep(0.5)
            recorder.take()

    gevent.spawn(drain)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=BASES)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("users", type=int)
    parser.add_argument("--prepared", action="store_true")
    parser.add_argument("--recorder", action="store_true")
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--wait", type=float, nargs=2)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    connections.install()
    base_mb = rss_mb()
    user = make_user(options.name, options.url, prepared=options.prepared, wait=options.wait)
    environment = Environment(user_classes=[user])
    runner = environment.create_local_runner()
    environment.stats.use_response_times_cache = False
    if options.fix:
        locust_fast.install(environment)
    if options.recorder:
        add_recorder(environment)
    started = time.perf_counter()
    runner.start(options.users, spawn_rate=options.users)
    runner.spawning_greenlet.join()
    spawn_s = time.perf_counter() - started
    gevent.sleep(WARM_UP_S if not options.wait else options.wait[1] * 2)
    environment.stats.total.reset()
    result = measure(environment, options.seconds)
    print(json.dumps({"class": options.name, "base_mb": round(base_mb, 1), "spawn_s": round(spawn_s, 2), **result}))
    sys.stdout.flush()
    os._exit(0)  # stopping 10,000 users in order would take longer than the measurement


if __name__ == "__main__":
    main()
