"""A scenario that starts three users by itself, beside those that were asked for."""

import gevent
from locust import FastHttpUser, constant, events, task
from locust.runners import WorkerRunner


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def home(self):
        self.client.get("/")


@events.test_start.add_listener
def start_more(environment, **_):
    if isinstance(environment.runner, WorkerRunner):
        gevent.spawn_later(2, environment.runner.spawn_users, {"Visitor": 3})
