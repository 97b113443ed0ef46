"""One request in each iteration, to a server that refuses everybody while it is asked more often than it was set to."""

from locust import task

from loadstone.lean import LeanHttpUser


class Caller(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/hurried")
