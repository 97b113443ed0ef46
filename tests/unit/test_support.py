"""The helpers of the tests are tested themselves: a double that lies would make every other test worthless."""

from __future__ import annotations

import gzip
import http.client
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from support import faulty_influx as double
from support.line_protocol import LineError, parse_line
from support.processes import ServerDiedError, ServerProcess, free_port, wait_until
from support.redis_server import AT_ONCE
from support.require import require

if TYPE_CHECKING:
    from support.counting_server import CountingServer
    from support.faulty_influx import FaultyInflux
    from support.redis_server import RedisServer
    from support.starters import StartCountingServer, StartRedis

ROOT = Path(__file__).resolve().parents[2]


def request(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def write(influx: FaultyInflux, body: bytes, **headers: str) -> int:
    return request(influx.url, "POST", "/api/v2/write?org=o&bucket=b&precision=ns", body, **headers)[0]


def test_a_killed_valkey_finds_its_data_again_on_the_same_address(valkey: RedisServer):
    client = valkey.client()
    for number in range(300):
        client.xadd("samples", {"n": number})
    valkey.kill()
    with redis.Redis(port=valkey.port, retry=AT_ONCE) as impatient, pytest.raises(redis.ConnectionError):
        impatient.ping()
    valkey.start()
    assert client.xlen("samples") == 300


def test_a_small_valkey_refuses_data_instead_of_dropping_it(start_valkey: StartRedis):
    client = start_valkey(maxmemory="4mb", appendonly=False).client()

    def add(count: int) -> None:
        for _ in range(count):
            client.xadd("samples", {"payload": b"x" * 100_000})

    with pytest.raises(redis.OutOfMemoryError):
        add(100)
    assert 1 <= client.xlen("samples") < 100


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path):
    program = ServerProcess(["sh", "-c", "echo no such thing; exit 3"], log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(ServerDiedError, match="no such thing"):
        program.start()


def test_waiting_for_what_never_happens_names_it():
    with pytest.raises(AssertionError, match=r"0\.05 s: the end of time"):
        wait_until(lambda: False, "the end of time", timeout_s=0.05)


def test_a_free_port_is_none_the_kernel_gives_away():
    assert 10_240 <= free_port() < 32_768


SKIPPING = """
import pytest

def test_skipped():
    pytest.skip("no server here")

@pytest.mark.xfail
def test_that_may_fail():
    assert False
"""


@pytest.mark.parametrize(("required", "outcome"), [("1", "1 failed, 1 xfailed"), ("", "1 skipped, 1 xfailed")])
def test_a_skip_is_a_failure_where_every_server_has_to_be_there(tmp_path: Path, required: str, outcome: str):
    (tmp_path / "test_it.py").write_text(SKIPPING)
    environment = {
        "PYTHONPATH": str(ROOT / "tests"),
        "PATH": os.environ["PATH"],
        "LOADSTONE_REQUIRE_SERVICES": required,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.no_skips",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    said = subprocess.run([*command, "-ra"], capture_output=True, text=True, env=environment).stdout
    assert outcome in said
    assert "no server here" in said


def test_a_missing_server_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert require(tmp_path, "a folder") == tmp_path
    monkeypatch.setenv("LOADSTONE_REQUIRE_SERVICES", "0")
    with pytest.raises(pytest.skip.Exception, match="no wrk"):
        require(tmp_path / "wrk", "no wrk")
    monkeypatch.setenv("LOADSTONE_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="no wrk"):
        require(None, "no wrk")


def test_servers_die_with_the_tests_that_started_them(tmp_path: Path):
    script = f"""
import os, pathlib, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from support.processes import ServerProcess
server = ServerProcess(["sleep", "60"], log=pathlib.Path({str(tmp_path / "log")!r}), ready=lambda: True).start()
print(server.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout)
    wait_until(lambda: not is_alive(pid), "the end of the server", timeout_s=5)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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


def test_locust_is_here_without_its_patches_of_the_standard_library():
    import locust
    from gevent.monkey import is_anything_patched

    assert locust.__version__
    assert not is_anything_patched()
    assert "LOCUST_SKIP_MONKEY_PATCH" not in os.environ


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


def test_line_protocol_is_unescaped():
    key, fields = parse_line(rb'a\ b,t\=g=x\,y\ z ok=t,s="say \"hi\" \\ there, a=1",n=-3i,f=1.5e3 -7')
    assert key == ("a b", (("t=g", "x,y z"),), -7)
    assert fields == {"ok": True, "s": 'say "hi" \\ there, a=1', "n": -3, "f": 1500.0}


@pytest.mark.parametrize(
    "line",
    [
        b"m",
        b"m f=1 1.5",
        b"m f=inf",
        b"#m f=1",
        b"m,time=1 f=1",
        b"m time=1",
        b"m,a=1,a=2 f=1",
        b"m f=1i\r",
        b"m f=9223372036854775808i",
        b'm s="a\nb"',
        b"\xff f=1",
        b"m,a=b=c f=1",
    ],
)
def test_what_a_real_server_refuses_or_loses_is_no_line(line: bytes):
    with pytest.raises(LineError):
        parse_line(line)
