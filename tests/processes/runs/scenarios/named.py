"""Requests whose names need care in queries: slashes, quotes, spaces and signs of regular expressions; two fail."""

from itertools import count

from locust import FastHttpUser, constant_throughput, task

from loadstone import LeanHttpUser

AWKWARD = """Bob's "special" item/7 (a|b) 100% $x^2 [k] \\d+"""
turns = count()


class Visitor(FastHttpUser):
    weight = 3
    wait_time = constant_throughput(10)

    @task(4)
    def home(self):
        self.client.get("/home")

    @task(2)
    def fragile(self):
        self.client.post("/fragile", json={"a": 1})

    @task(2)
    def awkward(self):
        with self.client.get("/slow?ms=30", name=AWKWARD, catch_response=True) as response:
            if next(turns) % 5 == 0:
                response.failure("""the answer isn't "right", it's a/b""")


class LeanVisitor(LeanHttpUser):
    """Its client also measures the time to the first byte."""

    wait_time = constant_throughput(10)

    @task
    def lean(self):
        self.client.get("/lean")
