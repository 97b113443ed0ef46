"""The HTTP protocol: one write per answer, and no memory held by connections that have ended."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from typing import Any

import pytest
import uvicorn

from inference.http_protocol import JoiningProtocol, JoiningTransport

CLIENTS = 20


class Written:
    """Stands in for a socket's transport to observe single writes, which a client cannot see."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False
        self.get_extra_info = self.is_closing = self.pause_reading = self.resume_reading = self.set_protocol = None

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True


def test_an_answers_head_and_body_are_one_write():
    below = Written()
    transport = JoiningTransport(below)
    for _ in range(2):
        transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        transport.write(b"{}")
    assert below.writes == [b"HTTP/1.1 200 OK\r\n\r\n{}"] * 2


def test_an_interim_answer_is_sent_at_once_because_the_client_waits_for_it():
    below = Written()
    JoiningTransport(below).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert below.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_a_head_that_is_held_is_sent_before_the_connection_closes():
    below = Written()
    transport = JoiningTransport(below)
    transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    transport.close()
    assert (below.writes, below.closed) == ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], True)


async def _answer(scope: Any, receive: Any, send: Any):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.mark.parametrize("reset", [False, True])
def test_a_closed_or_reset_connection_leaves_nothing_in_memory(reset: Any):
    async def check():
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        how = {"http": JoiningProtocol, "lifespan": "off", "log_config": None, "timeout_keep_alive": 600}
        server = uvicorn.Server(uvicorn.Config(_answer, **how))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.to_thread(_connect_and_go, port, reset)
        for _ in range(20):
            if not _protocols():
                break
            await asyncio.sleep(0.05)
        left = len(_protocols())
        server.should_exit = True
        await serving
        return left

    assert asyncio.run(check()) == 0


def _protocols():
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is JoiningProtocol]


def _connect_and_go(port: int, reset: Any):
    for _ in range(CLIENTS):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            if reset:  # linger for 0 s: close with a reset
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
