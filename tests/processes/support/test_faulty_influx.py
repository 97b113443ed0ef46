"""The InfluxDB double behaves as a real server does; a double that lies would make every test of delivery worthless."""

from __future__ import annotations

import gzip
import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support import faulty_influx as double
from support.asking import request
from support.processes import wait_until

if TYPE_CHECKING:
    from support.faulty_influx import FaultyInflux


def write(influx: FaultyInflux, body: bytes, **headers: str) -> int:
    return request(influx.url, "POST", "/api/v2/write?org=o&bucket=b&precision=ns", body, **headers)[0]


def test_the_double_keeps_the_last_of_points_with_equal_tags_and_time(faulty_influx: FaultyInflux):
    assert write(faulty_influx, b"m,b=2,a=1 f=1,n=2i 5\nm,a=1,b=2 f=3 5\nm,a=2,b=2 f=4 5") == 204
    assert list(faulty_influx.points.values()) == [{"f": 3.0}, {"f": 4.0}]


def test_the_double_reads_gzip(faulty_influx: FaultyInflux):
    assert write(faulty_influx, gzip.compress(b"m f=1 5"), **{"Content-Encoding": "gzip"}) == 204
    assert len(faulty_influx.points) == 1
    assert faulty_influx.requests[0].gzipped


@pytest.mark.parametrize(
    "bad", [b"m,t=poison f=1 6", b"m f= 6", b"m,t= f=1 6", b"m,t=a\\ f=1 6", b"m f=NaN 6", b"nonsense"]
)
def test_one_bad_line_rejects_the_whole_batch_as_influxdb_2_does(faulty_influx: FaultyInflux, bad: bytes):
    assert write(faulty_influx, b"m f=1 5\n" + bad) == 400
    assert faulty_influx.points == {}
    assert write(faulty_influx, b"m f=1 5") == 204


def test_a_partial_write_stores_the_good_lines(faulty_influx: FaultyInflux):
    faulty_influx.partial = True
    assert write(faulty_influx, b"m f=1 5\nm,t=poison f=1 6\nm f=1 7") == 422
    assert len(faulty_influx.points) == 2


def test_queued_behaviours_come_in_order_and_once(faulty_influx: FaultyInflux):
    faulty_influx.queue(
        double.unauthorized(),
        double.not_found(),
        double.too_large(),
        double.too_many_requests(retry_after_s=2),
        double.unavailable(),
    )
    assert [write(faulty_influx, b"m f=1 5") for _ in range(6)] == [401, 404, 413, 429, 503, 204]
    assert [seen.status for seen in faulty_influx.requests] == [401, 404, 413, 429, 503, 204]


def test_a_429_says_how_long_to_wait(faulty_influx: FaultyInflux):
    faulty_influx.queue(double.too_many_requests(retry_after_s=2))
    connection = http.client.HTTPConnection(urlsplit(faulty_influx.url).netloc, timeout=10)
    connection.request("POST", "/api/v2/write", b"m f=1 5")
    assert connection.getresponse().headers["Retry-After"] == "2"
    connection.close()


@pytest.mark.parametrize(
    ("behaviour", "stored"), [(double.cut(), 0), (double.hang(0.05), 0), (double.cut_after_storing(), 1)]
)
def test_a_cut_connection_hides_whether_the_points_are_stored(
    faulty_influx: FaultyInflux, behaviour: double.Behaviour, stored: int
):
    faulty_influx.queue(behaviour)
    with pytest.raises(ConnectionError):
        write(faulty_influx, b"m f=1 5")
    assert len(faulty_influx.points) == stored


def test_the_token_can_be_corrected_in_mid_run(faulty_influx: FaultyInflux):
    faulty_influx.token = "right"
    assert write(faulty_influx, b"m f=1 5", Authorization="Token wrong") == 401
    assert write(faulty_influx, b"m f=1 5", Authorization="Token right") == 204


def test_a_body_above_the_limit_is_too_large(faulty_influx: FaultyInflux):
    faulty_influx.max_body_bytes = 10
    assert write(faulty_influx, b"m f=1 5") == 204
    assert write(faulty_influx, b"m f=1 5000000") == 413


def test_the_double_is_out_of_service_for_a_time(faulty_influx: FaultyInflux):
    faulty_influx.fail_for(0.2)
    assert write(faulty_influx, b"m f=1 5") == 503
    wait_until(lambda: write(faulty_influx, b"m f=1 5") == 204, "the end of the outage")


def test_a_stopped_double_refuses_connections_and_comes_back_with_its_points(faulty_influx: FaultyInflux):
    write(faulty_influx, b"m f=1 5")
    url = faulty_influx.url
    faulty_influx.stop()
    with pytest.raises(ConnectionRefusedError):
        write(faulty_influx, b"m f=1 6")
    faulty_influx.start()
    assert (faulty_influx.url, len(faulty_influx.points)) == (url, 1)
    assert write(faulty_influx, b"m f=1 6") == 204


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_the_double_is_healthy(faulty_influx: FaultyInflux, path: str):
    assert request(faulty_influx.url, "GET", path)[0] == 200
