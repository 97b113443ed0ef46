"""One quick request per arrival, driven by gevent's timers, as on systems without timerfd, and as in closed runs."""

from locust import task

from loadstone.hook import precise_alarm
from loadstone.lean import LeanHttpUser

precise_alarm._opened = lambda: (None, None)


class Caller(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")
