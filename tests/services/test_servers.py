"""The real servers do what the other tests here rely on."""

from __future__ import annotations

import http.client
import re
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

from support.influx_server import DATABASE, QueryError
from support.line_protocol import LineError, parse_line
from support.processes import ServerProcess, free_port, port_answers
from support.redis_server import AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer
    from support.redis_server import RedisServer
    from support.starters import StartRedis

# What InfluxDB is known to keep as it is: see support.line_protocol.
GOOD_LINES = [
    b"m,t=a f=1 1",
    rb'a\ b,t\=g=x\,y\ z ok=t,s="say \"hi\" \\ there, a=1",n=-3i,f=1.5e3 7',
    rb"m,t=a\\b f=1 2",
    rb"m,t=C:\temp\x f=1 3",
    'm,t=grün☂ s="☂" 4'.encode(),
    rb'm s="" 5',
]
BAD_LINES = [b"m", b"m,t= f=1", b"m,t=a\\ f=1", b"m f=NaN", b"m f=1 1.5", b"m,time=1 f=1 1", b"m f=1i\r 1", b"m f=tru"]


def write(server: InfluxServer, data: bytes, *, gzip: bool = False) -> None:
    with InfluxDBClient(url=server.url, token="any", org="any", enable_gzip=gzip) as client:
        client.write_api(write_options=SYNCHRONOUS).write(DATABASE, "any", data, write_precision=WritePrecision.NS)


def test_a_killed_redis_finds_its_data_again(redis_server: RedisServer):
    client = redis_server.client()
    client.xgroup_create("samples", "aggregator", mkstream=True)
    for number in range(300):
        client.xadd("samples", {"n": number})
    redis_server.kill()
    with redis.Redis(port=redis_server.port, retry=AT_ONCE) as impatient, pytest.raises(redis.ConnectionError):
        impatient.ping()
    redis_server.start()
    assert client.xlen("samples") == 300
    assert [group["name"] for group in client.xinfo_groups("samples")] == [b"aggregator"]


def test_a_full_redis_refuses_instead_of_forgetting(start_redis: StartRedis):
    client = start_redis(maxmemory="8mb").client()
    first = client.xadd("samples", {"payload": b"first"})
    with pytest.raises(redis.OutOfMemoryError):
        client.set("big", b"x" * 8_000_000) and client.xadd("samples", {"payload": b"second"})
    assert client.xrange("samples")[0][0] == first


@pytest.mark.parametrize("gzip", [False, True])
def test_a_point_written_by_the_official_client_is_read_back(influxdb: InfluxServer, gzip: bool):
    with InfluxDBClient(url=influxdb.url, token="any", org="any", enable_gzip=gzip) as client:
        assert client.ping()
        point = Point("request").tag("name", "POST /predict").field("rt_ms", 12.5).time(1_700_000_000_000_000_123)
        client.write_api(write_options=SYNCHRONOUS).write(DATABASE, "any", point)
    rows = influxdb.query('SELECT "rt_ms" FROM "request" GROUP BY "name"')
    assert rows == [{"time": 1_700_000_000_000_000_123, "rt_ms": 12.5, "name": "POST /predict"}]
    assert influxdb.count("request", "rt_ms") == 1


def test_a_point_sent_twice_is_one_point(influxdb: InfluxServer):
    lines = b"\n".join(b"request,worker=1 rt_ms=1.5 %d" % number for number in range(1, 5001))
    write(influxdb, lines, gzip=True)
    write(influxdb, lines)
    assert influxdb.count("request", "rt_ms") == 5000


def test_influxdb_comes_back_with_its_data_after_a_stop_and_a_kill(influxdb: InfluxServer):
    url = influxdb.url
    write(influxdb, b"m f=1 1")
    influxdb.stop()
    assert not influxdb.running
    assert not port_answers(influxdb.port)
    influxdb.start()
    write(influxdb, b"m f=1 2")
    influxdb.kill()
    influxdb.start()
    assert influxdb.url == url
    assert influxdb.restart().count("m", "f") == 2


def test_a_refused_query_says_why(influxdb: InfluxServer):
    with pytest.raises(QueryError, match="error parsing query"):
        influxdb.query("SELECT users FROM")


def test_the_reader_of_line_protocol_agrees_with_the_real_server(influxdb: InfluxServer):
    for line in GOOD_LINES:
        (measurement, tags, time_ns), fields = parse_line(line)
        write(influxdb, line)
        rows = influxdb.query(f'SELECT * FROM "{measurement}" WHERE time = {time_ns}')
        stored = {key: value for key, value in rows[0].items() if value is not None}
        assert stored == {"time": time_ns, **dict(tags), **fields}


@pytest.mark.parametrize("line", BAD_LINES)
def test_what_the_reader_refuses_the_real_server_refuses_too(influxdb: InfluxServer, line: bytes):
    with pytest.raises(LineError):
        parse_line(line)
    with pytest.raises(Exception, match="400"):
        write(influxdb, line)


def test_the_counting_server_counts_what_an_independent_load_generator_sends(
    counting_server: CountingServer, wrk_binary: Path
):
    command = [wrk_binary, "-t1", "-c32", "-d2s", counting_server.url + "/predict"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answered = re.search(r"(\d+) requests in", said)
    assert answered is not None
    count = counting_server.count()
    # wrk stops without reading what is in flight: at most one request for each connection.
    assert 0 <= count.total - int(answered[1]) <= 32
    assert count.total > 2000
    assert count.connections == 32
    print(said)


def test_haproxy_passes_requests_on(counting_server: CountingServer, haproxy_binary: Path, tmp_path: Path):
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n"
        f"listen all\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{counting_server.port}\n"
    )
    command = [haproxy_binary, "-db", "-f", config]
    with (
        ServerProcess(command, log=tmp_path / "haproxy.log", ready=lambda: port_answers(port)),
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
    ):
        connection.request("GET", "/through")
        assert connection.getresponse().status == 200
    assert counting_server.count().requests == {"GET /through": 1}
