"""Closed counterparts of one quick request per arrival: users that rest for a random time, or not at all."""

import os

from locust import between, constant, task

from loadstone.lean import LeanHttpUser

REST_S = float(os.environ.get("BENCH_REST_S", "0"))


class Caller(LeanHttpUser):
    wait_time = between(0.5 * REST_S, 1.5 * REST_S) if REST_S else constant(0)

    @task
    def call(self):
        self.client.get("/call")
