"""The counting server counts exactly: the counts of every run are compared with its own."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.asking import request

if TYPE_CHECKING:
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.starters import StartCountingServer


def test_the_counting_server_counts_by_method_and_path(counting_server: CountingServer):
    for _ in range(3):
        assert request(counting_server.url, "POST", "/predict?x=1", b"{}") == (200, b'{"ok":true}')
    assert request(counting_server.url, "GET", "/status/503")[0] == 503
    count = counting_server.count()
    assert (count.total, count.connections) == (4, 4)
    assert count.requests == {"POST /predict": 3, "GET /status/503": 1}
    assert count.statuses == {200: 3, 503: 1}
    counting_server.reset()
    assert counting_server.count().total == 0


def test_the_counting_server_counts_every_request_of_parallel_connections(counting_server: CountingServer):
    def ask(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", counting_server.port, timeout=10)
        for _ in range(50):
            connection.request("GET", "/")
            connection.getresponse().read()
        connection.close()
        return 50

    with ThreadPoolExecutor(8) as pool:
        sent = sum(pool.map(ask, range(16)))
    count = counting_server.count()
    assert (count.total, count.connections) == (sent, 16)


def test_the_counting_server_fails_an_exact_share(counting_server: CountingServer):
    counting_server.configure(failures={"/predict": 0.29})
    statuses = [request(counting_server.url, "GET", "/predict")[0] for _ in range(100)]
    assert statuses.count(500) == 29
    assert [request(counting_server.url, "GET", "/fail?share=0.5")[0] for _ in range(4)] == [200, 500, 200, 500]


def test_the_counting_server_is_as_slow_as_it_is_told(start_counting_server: StartCountingServer):
    server = start_counting_server(latency_ms=30)
    begin = time.monotonic()
    request(server.url, "GET", "/slow?ms=40")
    assert time.monotonic() - begin >= 0.07


def test_the_counting_server_counts_a_request_whose_connection_it_cuts(counting_server: CountingServer):
    with pytest.raises(ConnectionError):
        request(counting_server.url, "GET", "/reset")
    assert counting_server.count().requests == {"GET /reset": 1}


def test_the_counting_server_speaks_https(start_counting_server: StartCountingServer, tmp_path: Path):
    import trustme

    pem = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    server = start_counting_server(pem=pem)
    assert server.url.startswith("https://")
    assert server.count().total == 0
