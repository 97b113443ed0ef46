"""A client of its own, on a plain socket, that fires the request event itself."""

import socket
import time
from urllib.parse import urlparse

from locust import User, constant, task


class OwnClient(User):
    wait_time = constant(0.05)

    @task
    def ask(self):
        began = time.perf_counter()
        target = urlparse(self.host)
        with socket.create_connection((target.hostname, target.port)) as sock:
            sock.sendall(b"GET /own HTTP/1.1\r\nHost: target\r\n\r\n")
            answer = sock.recv(1000)
        self.environment.events.request.fire(
            request_type="OWN",
            name="ask",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=len(answer),
            exception=None,
            context={},
        )
