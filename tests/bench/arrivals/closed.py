"""Closed counterparts of one quick request per arrival: users that keep a pace, and users that never rest."""

import os

from locust import constant, constant_throughput, task

from loadstone.lean import LeanHttpUser

PER_SECOND = float(os.environ.get("BENCH_PER_USER", "0"))


class Caller(LeanHttpUser):
    wait_time = constant_throughput(PER_SECOND) if PER_SECOND else constant(0)

    @task
    def call(self):
        self.client.get("/call")
