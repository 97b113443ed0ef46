"""Short requests, one after the other, by every user."""

from locust import FastHttpUser, constant, task


class Steady(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.post("/predict", json={"a": 1})
