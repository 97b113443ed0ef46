"""Readers, writers and one administrator: three classes with weights and a fixed count."""

from locust import FastHttpUser, HttpUser, tag, task
from rounds import few


class Reader(FastHttpUser):
    weight = 3
    wait_time = few(5)

    @tag("read")
    @task
    def read(self):
        self.client.get("/items/1", name="/items/[id]")


class Writer(HttpUser):
    weight = 1
    wait_time = few(4)

    def on_start(self):
        self.client.get("/readyz")

    @tag("write")
    @task
    def write(self):
        self.client.post("/classify", json={"text": "good"})


class Administrator(HttpUser):
    fixed_count = 1
    wait_time = few(3)

    @task
    def status(self):
        self.client.get("/v2/health/ready", name="/status")
