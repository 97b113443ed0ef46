"""A chat model that streams its answer as server-sent events; time to first token and tokens/s are own metrics."""

import json
import time

from locust import HttpUser, task
from rounds import few

PROMPTS = ["What is a load test?", "Count to five.", "Name a river.", "Say nothing."]


class ChatUser(HttpUser):
    wait_time = few()

    def on_start(self):
        self.turn = 0
        self.headers = {"Authorization": "Bearer test", "Accept": "text/event-stream"}

    def metric(self, kind, milliseconds, length=0):
        self.environment.events.request.fire(
            request_type=kind,
            name="/v1/chat/completions",
            response_time=milliseconds,
            response_length=length,
            exception=None,
            context=self.context(),
        )

    @task
    def ask(self):
        prompt = PROMPTS[self.turn % len(PROMPTS)]
        self.turn += 1
        body = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": prompt}]}
        started = time.perf_counter()
        first = None
        tokens = []
        with self.client.post(
            "/v1/chat/completions", json=body, headers=self.headers, stream=True, catch_response=True
        ) as response:
            for line in response.iter_lines(decode_unicode=True):
                if not line or not line.startswith("data: "):
                    continue
                data = line.removeprefix("data: ")
                if data == "[DONE]":
                    break
                tokens.append(json.loads(data)["choices"][0]["delta"]["content"])
                first = first or time.perf_counter()
            if not tokens:
                response.failure("no token")
                return
            response.success()
        self.metric("TTFT", (first - started) * 1000)
        self.metric("TOKENS", len(tokens), sum(map(len, tokens)))
