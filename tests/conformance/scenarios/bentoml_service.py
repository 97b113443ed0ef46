"""A BentoML service: a ready check first, then a JSON endpoint and an endpoint that takes a file."""

from locust import HttpUser, events, task
from rounds import few

TEXTS = ["good", "bad", "neither"]


@events.init.add_listener
def show_service(environment, **_kwargs):
    environment.service = "summarizer"


class BentoUser(HttpUser):
    wait_time = few(6)

    def on_start(self):
        self.sent = 0
        response = self.client.get("/readyz")
        response.raise_for_status()

    @task
    def classify_then_summarize(self):
        text = TEXTS[self.sent % len(TEXTS)]
        self.sent += 1
        with self.client.post("/classify", json={"text": text}, catch_response=True) as response:
            if response.json()["label"] != text:
                response.failure(f"{text!r} was taken for {response.json()['label']!r}")
            elif response.elapsed.total_seconds() > 5:
                response.failure("slower than 5 s")
        self.client.post("/summarize", files={"document": ("a.txt", text.encode() * 100)}, name="/summarize (file)")
