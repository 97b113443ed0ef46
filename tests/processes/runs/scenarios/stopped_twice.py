"""Every worker is stopped by two timers at the same moment, while the stream takes its time."""

import os

import gevent
import redis
from locust import FastHttpUser, constant, events, task
from locust.runners import WorkerRunner


@events.test_start.add_listener
def end_later(environment, **_):
    if isinstance(environment.runner, WorkerRunner):
        gevent.spawn_later(3, environment.runner.quit)
        gevent.spawn_later(3, environment.runner.stop)


@events.test_stopping.add_listener
def hold_up_the_stream(environment, **_):
    if isinstance(environment.runner, WorkerRunner) and not getattr(environment, "held_up", False):
        environment.held_up = True
        redis.from_url(os.environ["LOADSTONE_REDIS_URL"]).execute_command("CLIENT", "PAUSE", 2000, "ALL")


class Caller(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def call(self):
        self.client.get("/call")
