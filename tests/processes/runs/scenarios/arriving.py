"""Every kind of iteration: users with three clients, nested and sequential task sets, and tasks that end early."""

import time

import gevent
from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, between, task
from locust.exception import RescheduleTask, StopUser

from loadstone.lean import LeanHttpUser


class Steps(SequentialTaskSet):
    """Its two steps follow each other in the iterations of one user."""

    def on_start(self):
        self.user.steps = 0

    @task
    def first(self):
        assert self.user.steps % 2 == 0
        self.user.steps += 1
        self.client.get("/first")

    @task
    def second(self):
        assert self.user.steps % 2 == 1
        self.user.steps += 1
        self.client.get("/second")


class Sequential(HttpUser):
    weight = 2
    tasks = (Steps,)

    def on_start(self):
        gevent.sleep(1)
        self.client.get("/login")


class Nested(FastHttpUser):
    weight = 2

    @task
    class Inner(TaskSet):
        @task(3)
        def inner(self):
            self.client.get("/inner")

        @task(1)
        def leave(self):
            self.client.get("/leave")
            self.interrupt()


class Lean(LeanHttpUser):
    weight = 5
    wait_time = between(1000, 2000)  # an arrival does not wait for it

    @task(4)
    def two_requests(self):
        with self.client.get("/fragile", catch_response=True) as response:
            response.success()
        self.client.get("/follows")

    @task(2)
    def again(self):
        self.client.get("/again")
        raise RescheduleTask

    @task(1)
    def broken(self):
        self.client.get("/broken")
        raise ValueError("the scenario's own fault")

    @task(1)
    def thinks(self):
        self.client.get("/thinks")
        began_s = time.monotonic()
        self._think()
        assert time.monotonic() - began_s > 0.05
        self.client.get("/thought")

    def _think(self):
        self.wait_time = lambda: 0.06
        self.wait()


class Heir(Lean):
    """Its start and its tasks are those of its base, and more."""

    weight = 1

    def on_start(self):
        super().on_start()
        self.client.get("/heir-begins")

    @task(9)
    def inherits(self):
        self.client.get("/inherits")


class Single(LeanHttpUser):
    fixed_count = 1

    @task
    def last(self):
        self.client.get("/last")
        raise StopUser
