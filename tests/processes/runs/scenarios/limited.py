"""Calm requests to a server that refuses everybody once more connections are in use than it was set to let in."""

from locust import FastHttpUser, constant, task


class Guest(FastHttpUser):
    wait_time = constant(0.2)

    @task
    def enter(self):
        self.client.get("/crowded")
