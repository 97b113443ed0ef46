"""A rate that a function gives: a step after two seconds, and an end after six."""

from locust import task

from loadstone import ArrivalShape, LeanHttpUser


class Caller(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")


class Daily(ArrivalShape):
    """A base that others inherit from does not count."""

    end_s = 60

    def rate(self, elapsed):
        return None if elapsed >= self.end_s else self.at(elapsed)


class Surge(Daily):
    end_s = 6

    def at(self, elapsed):
        return 40 if elapsed < 2 else 120 - 10 * (elapsed - 2)
