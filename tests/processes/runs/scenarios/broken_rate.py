"""A rate whose function raises after two seconds."""

from locust import task

from loadstone import ArrivalShape, LeanHttpUser


class Visitor(LeanHttpUser):
    @task
    def call(self):
        self.client.get("/call")


class Listed(ArrivalShape):
    def rate(self, elapsed):
        return (5, 10)[int(elapsed)]
