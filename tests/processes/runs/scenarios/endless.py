"""A rate that a function gives without ever ending the run."""

from locust import task

from loadstone import ArrivalShape, LeanHttpUser


class Visitor(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")


class Endless(ArrivalShape):
    def rate(self, elapsed):
        return abs(20 - elapsed)
