"""One saturated `FastHttpUser` process in which every other request, by lot, meets loadstone's listener.

python saturated.py URL REDIS_URL ROUNDS

Each request event is timed where it happens, with caches as cold as they are there; those with and those without the
listener meet the same machine at the same time, so the difference of their means is the listener's cost, and noise that
is twenty times as large cancels out. The slowest hundredth of either kind, in which the process was interrupted, is
left out. Everything else of the hook (packing, sending, loop lag, process stats) is a greenlet of its own: its CPU time
is taken alone, with as many samples to ship as the saturated process made.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from statistics import fmean
from typing import Any

import gevent
from locust import FastHttpUser, task
from locust.env import Environment
from locust.event import EventHook

from loadstone.hook.recorder import Recorder
from loadstone.hook.shipper import Shipper
from loadstone.lean import connections
from loadstone.stream.proof import RunSecret

USERS = 50
WARM_UP_S = 2.0
ROUND_S = 2.0
FLUSH_EVERY_S = 0.5
FLUSHES = 20


class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/page")


class Lots:
    """Stands between Locust and its request event: draws whether the listener hears of it, and times it."""

    def __init__(self, event: EventHook, recorder: Recorder) -> None:
        with_hook = EventHook()
        for handler in (*event._handlers, recorder.record):
            with_hook.add_listener(handler)
        self._fires = (event.fire, with_hook.fire)
        self._lots = [random.randrange(2) for _ in range(4093)]
        self._number = 0
        self.took_ns: tuple[list[int], list[int]] = ([], [])
        event.fire = self.fire

    def fire(self, **kwargs: Any) -> None:
        self._number += 1
        lot = self._lots[self._number % 4093]
        fire = self._fires[lot]
        begun = time.perf_counter_ns()
        fire(**kwargs)
        self.took_ns[lot].append(time.perf_counter_ns() - begun)

    def take_us(self) -> list[float]:
        """The mean time of an event without and with the listener since the last call."""
        means = [fmean(sorted(taken)[: len(taken) * 99 // 100]) / 1000 for taken in self.took_ns]
        for taken in self.took_ns:
            taken.clear()
        return means


def saturated(url: str, rounds: int) -> list[dict[str, float]]:
    """Each round: CPU us per request, and what the listener adds."""
    Visitor.host = url
    environment, recorder = Environment(user_classes=[Visitor]), Recorder()
    runner = environment.create_local_runner()  # it listens too
    lots = Lots(environment.events.request, recorder)
    runner.start(USERS, spawn_rate=USERS)
    runner.spawning_greenlet.join()
    gevent.sleep(WARM_UP_S)
    found, total = [], environment.stats.total
    lots.take_us()
    for _ in range(rounds):
        cpu_s, requests = time.process_time(), total.num_requests
        for _ in range(int(ROUND_S / FLUSH_EVERY_S)):
            gevent.sleep(FLUSH_EVERY_S)
            recorder.take()
        requests = total.num_requests - requests
        cpu_us = (time.process_time() - cpu_s) / requests * 1e6
        without, with_hook = lots.take_us()
        found.append({"cpu_us": cpu_us, "listener_us": with_hook - without, "rps": requests / ROUND_S})
    runner.quit()
    return found


def shipping_us(redis_url: str, rps: float) -> list[float]:
    """CPU us per request of all that the hook does beside the listener, in a process that does nothing else."""
    recorder, n = Recorder(), int(rps * FLUSH_EVERY_S)
    Shipper(recorder, redis_url, RunSecret.new("bench"), 1, lambda: USERS)
    found = []
    for _ in range(FLUSHES):
        for _ in range(n):
            recorder.record("GET", "/page", 5.0, 100)
        begun = time.process_time()
        gevent.sleep(FLUSH_EVERY_S)
        found.append((time.process_time() - begun) / n * 1e6)
    return found


def main() -> None:
    url, redis_url, rounds = sys.argv[1:]
    logging.disable(logging.WARNING)
    connections.install()
    found = saturated(url, int(rounds))
    rps = fmean(each["rps"] for each in found)
    print(json.dumps({"rounds": found, "rps": rps, "shipping_us": shipping_us(redis_url, rps)}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
