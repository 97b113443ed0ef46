"""The scenario itself ends the run after two seconds."""

import gevent
from locust import FastHttpUser, constant, events, task
from locust.runners import MasterRunner


@events.test_start.add_listener
def leave_soon(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        gevent.spawn_later(4, environment.runner.quit)


class Steady(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/")
