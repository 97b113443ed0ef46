"""Two users of five fail as they start, and Locust does not start them again."""

from itertools import count

from locust import FastHttpUser, constant, task

started = count()


class Fragile(FastHttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        if next(started) < 2:
            raise RuntimeError("this user cannot log in")

    @task
    def ask(self):
        self.client.get("/")
