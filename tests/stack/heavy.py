"""Requests with many rows, which take some 5 ms of the target's CPU each: what a small study can tell apart."""

import json

import locustfile
from locust import between, task

from loadstone import LeanHttpUser

ROWS = 600


class Heavy(LeanHttpUser):
    """A client program that asks for many predictions at once."""

    wait_time = between(1, 2)

    def on_start(self):
        """Prepare the body once: the generator is to have little to do."""
        self.body = json.dumps({"inputs": [locustfile.varied_row() for _ in range(ROWS)]}).encode()

    @task
    def many_rows(self):
        """Predict all rows."""
        self.client.post("/predict", data=self.body, headers={"Content-Type": "application/json"})
