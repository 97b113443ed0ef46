"""Users that ask ten times a second each, as long as they are answered."""

from locust import constant_throughput, task

from loadstone.lean import LeanHttpUser


class Paced(LeanHttpUser):
    wait_time = constant_throughput(10)

    @task
    def ask(self):
        self.client.get("/")
