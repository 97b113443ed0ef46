"""A load shape of stages, each with a number of users, a spawn rate, and a length."""

from locust import HttpUser, LoadTestShape, task
from rounds import few


class Visitor(HttpUser):
    wait_time = few(5)

    @task
    def home(self):
        self.client.get("/")


class Stages(LoadTestShape):
    stages = [
        {"duration": 1.5, "users": 2, "spawn_rate": 10},
        {"duration": 3, "users": 5, "spawn_rate": 10},
        {"duration": 5, "users": 7, "spawn_rate": 20},
    ]

    def tick(self):
        run_time = self.get_run_time()
        for stage in self.stages:
            if run_time < stage["duration"]:
                return stage["users"], stage["spawn_rate"]
        return None
