"""Requests that take a second, so that some are always in flight."""

from locust import HttpUser, constant, task


class Patient(HttpUser):
    wait_time = constant(0.1)

    @task
    def wait_for_it(self):
        self.client.get("/slow?ms=1000", name="/slow")
