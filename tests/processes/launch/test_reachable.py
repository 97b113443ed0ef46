"""Waiting until a page answers."""

from __future__ import annotations

import socket
import threading

from loadstone.launch.reachable import wait_until_reachable
from support.processes import free_port


def test_a_page_that_comes_later_is_waited_for():
    port = free_port()
    looked, listening = threading.Event(), threading.Event()

    def listen() -> None:
        assert looked.wait(30)
        with socket.create_server(("127.0.0.1", port)):
            listening.set()
            assert ended.wait(30)

    def gives_up() -> bool:
        looked.set()
        return False

    ended = threading.Event()
    server = threading.Thread(target=listen)
    server.start()
    assert wait_until_reachable(f"http://127.0.0.1:{port}/", gives_up)
    assert listening.is_set()
    ended.set()
    server.join()


def test_a_page_that_does_not_come_is_given_up():
    url = f"http://127.0.0.1:{free_port()}/"
    looks = iter([False, False, True])
    assert not wait_until_reachable(url, lambda: next(looks))
    assert not wait_until_reachable(url, lambda: False, within_s=0.2)
