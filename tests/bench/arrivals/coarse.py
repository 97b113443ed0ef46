"""One quick request per arrival, rung by timers of gevent, as where Linux has none to give, and in closed runs."""

from locust import task

from loadstone.hook import precise_alarm
from loadstone.lean import LeanHttpUser

precise_alarm._opened = lambda: (None, None)


class Caller(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")
