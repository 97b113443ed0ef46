"""One quick request in each iteration."""

from locust import task

from loadstone.lean import LeanHttpUser


class Caller(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")
