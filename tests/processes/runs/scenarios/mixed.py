"""Quick requests of three names, one of which the server may fail, and one that is renamed."""

from locust import FastHttpUser, constant_throughput, task


class Visitor(FastHttpUser):
    wait_time = constant_throughput(20)

    @task(4)
    def home(self):
        self.client.get("/home")

    @task(2)
    def fragile(self):
        self.client.post("/fragile", json={"a": 1})

    @task(1)
    def item(self):
        self.client.get("/item?id=7", name="/item")
