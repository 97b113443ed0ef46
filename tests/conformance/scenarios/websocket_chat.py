"""A WebSocket per user: messages sent, and each one's echo, as request events; the connection is one as well."""

import json
import os
import time

from locust import User, task
from rounds import few
from websocket import create_connection


class SocketUser(User):
    wait_time = few(5)
    url = os.getenv("WEBSOCKET_URL", "ws://localhost:8765/chat")

    def fire(self, name, started, length=0, exception=None):
        self.environment.events.request.fire(
            request_type="WS",
            name=name,
            response_time=(time.time() - started) * 1000,
            response_length=length,
            exception=exception,
            context={},
        )

    def on_start(self):
        started = time.time()
        self.socket = create_connection(self.url, timeout=10)
        self.fire("connect", started)
        self.number = 0

    def on_stop(self):
        self.socket.close()

    @task
    def say(self):
        self.number += 1
        message = json.dumps({"number": self.number, "text": "hello"})
        started = time.time()
        self.socket.send(message)
        answer = self.socket.recv()
        failure = None if answer == message else ValueError("another answer")
        self.fire("echo", started, len(answer), failure)
