"""Closed counterparts of one quick request per arrival: users that keep a pace, that rest, or that do neither."""

import os

from locust import between, constant, constant_throughput, task

from loadstone.lean import LeanHttpUser

PACE_S = float(os.environ.get("BENCH_PACE_S", "0"))
REST_S = float(os.environ.get("BENCH_REST_S", "0"))


class Caller(LeanHttpUser):
    wait_time = (
        constant_throughput(1 / PACE_S) if PACE_S else between(0.5 * REST_S, 1.5 * REST_S) if REST_S else constant(0)
    )

    @task
    def call(self):
        self.client.get("/call")
