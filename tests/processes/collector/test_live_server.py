"""The live page's server under attack: who may ask, what is no request, half requests, slow readers."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from loadstone.archive.digests import REPORT_SEAL
from loadstone.archive.run_state import RunState
from loadstone.collector.live.board import LiveBoard
from loadstone.collector.live.connections import ConnectionLimits
from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import snapshot
from support.closed_runs import MadeRun
from support.processes import free_port, wait_until
from support.run_maker import SECOND, START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20260920-120000-aaaa"
EVIL = "http://evil.example"
PATHS = ["/", "/events", "/state", "/live", f"/runs/{RUN}/run.json", f"/runs/{RUN}/stats.csv"]
STRANGERS = {
    "fetch": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "EventSource": {"Origin": "http://localhost:1", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    "a script element": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "a frame": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "an old browser": {"Origin": EVIL},
    "a rebound name": {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
    "a rebound name with the port": {"Host": "evil.example:8090"},
}


@contextmanager
def served(
    results: Path, *names: str, bind: str = "127.0.0.1", limits: ConnectionLimits | None = None
) -> Iterator[tuple[LiveBoard, int]]:
    """A board with a run of 20 seconds, and the port of its server."""
    port = free_port()
    with serving(bind, port, results, names, limits) as board:
        assert board is not None
        show(board, SECOND)
        yield board, port


def show(board: LiveBoard, now_ns: int, names: int = 1) -> None:
    """Show a new state: one more second, which a page has not got yet."""
    state = RunState()
    for entry in MadeRun(run=RUN, names=[("GET", f"/name-{at}" * 8) for at in range(names)]).entries():
        state.apply(entry)
    board._due_s = 0.0
    board.show(snapshot(RUN, state, now_ns=START + now_ns), state)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    MadeRun(run=RUN).close(folder)
    return folder


@pytest.fixture(scope="module")
def port(results: Path) -> Iterator[int]:
    with served(results, "load.lan", "*.example.com") as (_, port):
        yield port


def ask(port: int, method: str, path: str, **headers: str) -> httpx.Response:
    """The head of an answer, and its body unless it never ends."""
    url = f"http://127.0.0.1:{port}{path}"
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        client.stream(method, url, headers={key.replace("_", "-"): value for key, value in headers.items()}) as answer,
    ):
        if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            answer.read()
        return answer


def raw(port: int, request: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                found += data
        return found


@pytest.mark.attack("another website reads the live page", "refused")
@pytest.mark.parametrize("sender", STRANGERS)
@pytest.mark.parametrize("path", PATHS)
def test_no_foreign_page_reads_anything(port: int, path: str, sender: str):
    answer = ask(port, "GET", path, **STRANGERS[sender])
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8090", "load.lan", "a.example.com", "10.1.2.3"])
@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_read_by_whom_it_is_for_and_embedded_by_nobody(port: int, path: str, host: str):
    for method in ("GET", "HEAD"):
        answer = ask(port, method, path, Host=host)
        assert answer.status_code == 200
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "server" not in answer.headers


def test_a_link_on_a_grafana_board_opens_the_page(port: int):
    link = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(port, "GET", "/", **link).status_code == 200


def test_a_name_that_is_not_allowed_is_told_how_it_would_be(port: int):
    assert "--allowed-hosts load.corp" in ask(port, "GET", "/", Host="load.corp").text


@pytest.mark.attack("a request that would change something", "405, whatever it names")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "ODD"])
@pytest.mark.parametrize("path", ["/", "/events", "/nothing"])
def test_the_page_is_only_read(port: int, path: str, method: str):
    answer = ask(port, method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.attack("a path outside of the files of closed runs", "404")
@pytest.mark.parametrize(
    "path",
    [
        *(f"/runs/{RUN}/requests.parquet", f"/runs/{RUN}/../{RUN}/run.json", f"/runs//{RUN}/run.json"),
        *("/runs/../run.json", "/runs/..%2f..%2fetc/run.json", "/runs/%2e%2e/run.json", "/runs/%2fetc/passwd"),
        *("//etc/passwd", "/runs/..\\..\\x/run.json", f"/runs/{RUN}/run.json/", f"/runs/{RUN}/", f"/runs/{RUN}"),
        *(f"/runs/{RUN}%00/run.json", f"/runs/{RUN}/run.json%00", f"/runs/{'a' * 5000}/run.json", "/%ff%fe", "/*"),
        *("/runs/%c0%ae%c0%ae/run.json", "/state/", "/STATE", "/events/1"),
    ],
)
def test_nothing_else_is_served(port: int, path: str):
    answer = raw(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:100]


LOCAL = b"Host: localhost\r\n"


@pytest.mark.attack("what is no request for a page, or hides a second one", "400, and the connection ends")
@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Content-Length: 33\r\n\r\nGET /live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /live HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Content-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Content-Length : 5\r\n\r\nabcde",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + LOCAL + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"A: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"no header\r\n\r\n",
        b"GET /\xe9\xff HTTP/1.1\r\n" + LOCAL + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + LOCAL + b"\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + LOCAL + b"\r\n",
        b"GET / HTTP/1.1\r\n" + LOCAL + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
    ids=lambda request: repr(request[:90])[2:-1],
)
def test_what_is_no_plain_request_is_refused(port: int, request_: bytes):
    answer = raw(port, request_)
    assert answer.startswith(b"HTTP/1.1 400 ") or (len(request_) > 65536 and answer == b""), answer[:100]
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b'"run"' not in answer
    assert ask(port, "GET", "/state").status_code == 200


@pytest.mark.attack("an address in the request line that is not the one in Host", "404, or the Host is checked")
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_a_request_line_with_an_address_reads_nothing(port: int, host: str):
    answer = raw(port, f"GET http://localhost/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] == (b"404" if host == "localhost" else b"403")


def test_two_requests_in_one_packet_get_two_answers(port: int):
    one = b"GET /state HTTP/1.1\r\nHost: localhost\r\n"
    answer = raw(port, one + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def connect(port: int, request: bytes = b"", receive_bytes: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(10)
    made.connect(("127.0.0.1", port))
    made.sendall(request)
    return made


def assert_gets(connection: socket.socket, wanted: bytes) -> None:
    """Read until these bytes come."""
    found = b""
    while wanted not in found:
        data = connection.recv(65536)
        assert data, found
        found += data


def server_threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("live-page")


def open_files() -> int:
    return psutil.Process().num_fds()


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it, seen without waiting and without reading what it has sent before."""
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.attack("1,500 requests that never end", "the page answers; threads, files and connections are bounded")
def test_half_requests_cost_a_bounded_number_of_connections(results: Path):
    halves = (b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET /state HTTP/1.1\r\nHost: localhost\r\n")
    limits = ConnectionLimits(most=100, check_every_s=0.5)
    with served(results, limits=limits) as (_, port), ExitStack() as stack:
        files, threads = open_files(), threading.active_count()
        for number in range(1500):
            stack.enter_context(connect(port, halves[number % 3]))
            if number % 500 == 499:
                assert ask(port, "GET", "/state").status_code == 200
        assert ask(port, "GET", "/").status_code == 200
        wait_until(lambda: open_files() - files - 1500 <= limits.most, "the oldest connections are closed")
        assert threading.active_count() <= threads + 1
        wait_until(lambda: not limits.waiting and open_files() - files - 1500 <= 1, "half requests are closed in time")


@pytest.mark.attack("a connection that says nothing more after its first request", "closed in time")
def test_an_idle_connection_is_closed_and_an_open_page_is_not(results: Path):
    with served(results, limits=ConnectionLimits(check_every_s=0.3)) as (board, port):
        idle = connect(port, b"GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n")
        trickle = connect(port, b"GET /state HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHo")
        with idle, trickle, connect(port, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n") as page:
            for connection in (idle, trickle):
                while connection.recv(65536):
                    pass
            page.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                while page.recv(65536):
                    pass
            show(board, 2 * SECOND)
            page.settimeout(10)
            assert_gets(page, b"data: {")


@pytest.mark.attack("a page that reads nothing of its stream", "cut off; nothing is queued, other pages go on")
def test_a_slow_reader_of_the_stream_is_cut_off_and_queues_nothing(results: Path):
    with served(results, limits=ConnectionLimits(check_every_s=0.5)) as (board, port):
        request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        slow, quick = connect(port, request, receive_bytes=4096), connect(port, request)
        received, memory = 0, psutil.Process().memory_info().rss
        with slow, quick:
            for at in range(2, 2000):
                show(board, at * SECOND, names=300)
                quick.settimeout(10)
                received += len(quick.recv(1 << 20))
                if is_cut_off(slow, port):
                    break
            assert is_cut_off(slow, port)
            assert received < 2_000_000, "no more than the buffers of one connection"
            assert psutil.Process().memory_info().rss - memory < 64 << 20
            show(board, 3000 * SECOND)
            assert quick.recv(1 << 20)


def is_cut_off(connection: socket.socket, port: int) -> bool:
    """Whether the server has given up a connection whose answer nobody reads: the server's end is gone."""
    mine = connection.getsockname()[1]
    ends = [each for each in psutil.Process().net_connections("tcp4") if each.laddr.port == port and each.raddr]
    return not [each for each in ends if each.raddr.port == mine]


@pytest.mark.attack("a reader that takes nothing of a large file", "cut off in time")
def test_a_slow_reader_of_a_file_is_cut_off_and_a_quick_one_gets_all(results: Path, tmp_path: Path):
    folder = MadeRun(run=RUN).close(tmp_path)
    report = REPORT_SEAL.put(b"x" * (20 << 20), RUN)
    folder.report.write_bytes(report)
    with served(tmp_path, limits=ConnectionLimits(check_every_s=0.3)) as (_, port):
        path = f"/runs/{RUN}/report.html"
        with connect(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), receive_bytes=4096) as slow:
            answer = ask(port, "GET", path)
            assert (len(answer.content), answer.headers["Content-Length"]) == (len(report), str(len(report)))
            wait_until(lambda: is_cut_off(slow, port), "the reader is cut off")


def test_a_reader_that_is_slow_but_goes_on_reading_gets_all(tmp_path: Path):
    folder = MadeRun(run=RUN).close(tmp_path)
    folder.report.write_bytes(REPORT_SEAL.put(b"x" * (2 << 20), RUN))
    with served(tmp_path, limits=ConnectionLimits(check_every_s=0.3)) as (_, port):
        request = f"GET /runs/{RUN}/report.html HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
        with connect(port, request, receive_bytes=65536) as slow:
            received = 0
            while data := slow.recv(65536):
                received += len(data)
                time.sleep(0.03)  # the reader's pace is what is tested
        assert received > 2 << 20


def test_a_head_of_a_file_tells_its_size_and_its_type(port: int, results: Path):
    answer = ask(port, "HEAD", f"/runs/{RUN}/stats.csv")
    assert answer.headers["Content-Length"] == str((results / RUN / "stats.csv").stat().st_size)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content == b""


@pytest.mark.attack("more open pages than the limit", "the next one is told so; the page itself still opens")
def test_streams_are_limited_and_closed_ones_make_room(results: Path):
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(results) as (_, port), ExitStack() as stack:
        streams = [stack.enter_context(connect(port, request)) for _ in range(100)]
        for stream in streams:
            assert stream.recv(100).startswith(b"HTTP/1.1 200 ")
        assert ask(port, "GET", "/events").status_code == 503
        assert ask(port, "GET", "/").status_code == 200
        streams[0].close()
        wait_until(lambda: ask(port, "GET", "/events").status_code == 200, "the closed one makes room")


@pytest.mark.parametrize("bind", ["::1", "::", "0.0.0.0", "localhost"])
def test_every_kind_of_address_can_be_bound(results: Path, bind: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "loadstone.live")
    with served(results, bind=bind) as (_, port):
        hosts = {"::1": ["[::1]"], "::": ["[::1]", "127.0.0.1"]}.get(bind, ["127.0.0.1"])
        for host in hosts:
            assert httpx.get(f"http://{host}:{port}/state", trust_env=False).json()["run"] == RUN
        shown = {"::1": "[::1]", "::": "[::]", "localhost": "127.0.0.1"}.get(bind, bind)
        assert f"live_page=http://{shown}:{port}/" in caplog.text


def test_the_server_ends_promptly_with_open_pages_and_leaves_the_signals_alone(results: Path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        servers = server_threads()
        with served(results) as (_, port):
            pages = [stack.enter_context(connect(port, request)) for _ in range(10)]
            stack.enter_context(connect(port, b"GET / HT"))
            for page in pages:
                assert_gets(page, b"data: {")
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
            began = time.monotonic()
        assert server_threads() == servers
        assert time.monotonic() - began < 4, "within the time that stop() waits"
        for page in pages:
            page.settimeout(10)
            while page.recv(65536):
                pass


def test_pages_that_have_seen_the_same_share_one_message():
    board = LiveBoard()
    show(board, SECOND)
    first = board.message(("", 0), None)
    assert first is not None
    assert board.message(("elsewhere", 7), None) is first
    later = board.message((first.source, first.number), None)
    assert later is not None
    assert len(later.text) < len(first.text)
