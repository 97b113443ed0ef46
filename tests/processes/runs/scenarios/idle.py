"""Users that never ask for anything."""

from locust import HttpUser, constant, task


class Idle(HttpUser):
    wait_time = constant(1)

    @task
    def rest(self):
        pass
