"""The guard of Locust's web UI on a real master: who may ask for what, route by route, and what is left as it was."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.compose.remote import StackRun
from loadstone.settings import RunSettings, load
from support.launch_doubles import RecordingView
from support.locust_master import LocustMaster, locust_master
from support.processes import wait_until
from support.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "right-token"
EVIL = "http://evil.example"
LOAD = {"data": {"user_count": "1", "spawn_rate": "1"}}
READS = {
    *("/", "/stats/requests", "/stats/requests/csv", "/stats/failures/csv", "/exceptions", "/exceptions/csv", "/tasks"),
    *("/logs", "/stats/report", "/worker-count", "/login", "/loadstone/runs", "/effects"),
    "/stats/requests_full_history/csv",
}
CHANGES: dict[str, dict[str, Any]] = {
    "/swarm": LOAD,
    "/stop": {},
    "/stats/reset": {},
    "/user": {"json": {"user_class_name": "Idle"}},
    "/loadstone/runs": {"json": {"users": 1}},
    "/loadstone/stop": {},
    "/mine": {},
    "/plugin": {},
}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FOREIGN = {
    "a form": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", **NAVIGATION},
    "a form of another port": {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    "a form in a sandbox": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "an old browser": {"Origin": EVIL},
    "an old browser, by its Referer": {"Referer": f"{EVIL}/"},
    "a rebound name": {"Host": "evil.example", "Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
    "a rebound name with the port": {"Host": "evil.example:8089", "Origin": f"{EVIL}:8089"},
    "a wrong token": {"Authorization": "Bearer wrong"},
    "nothing that says who": {},
}
READERS = {
    "fetch": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "a script element": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "a frame": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "an old browser": {"Origin": EVIL},
    "a rebound name": {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
}


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory, valkey_binary: Path) -> Iterator[str]:
    server = RedisServer(valkey_binary, tmp_path_factory.mktemp("valkey")).start()
    yield server.url
    server.close()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, stream: str) -> Iterator[LocustMaster]:
    """Guarded as in `loadstone up` and the compose stack."""
    folder, guard = tmp_path_factory.mktemp("master"), {"web_guard": "all", "allowed_hosts": "load.lan locust-master"}
    with locust_master(folder, stream, control_token=TOKEN, **guard) as started:
        yield started


@pytest.mark.attack("another website sends a change to Locust's master", "refused, nothing started, stopped or reset")
@pytest.mark.parametrize("sender", FOREIGN)
@pytest.mark.parametrize("path", CHANGES)
def test_no_foreign_page_changes_anything(master: LocustMaster, path: str, sender: str):
    before = master.effects()
    answer = master.ask("POST", path, FOREIGN[sender], **CHANGES[path])
    assert answer.status_code == 403, answer.text
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert master.effects() == before


@pytest.mark.attack("another website reads Locust's master", "refused")
@pytest.mark.parametrize("sender", READERS)
@pytest.mark.parametrize("path", sorted(READS))
def test_no_foreign_page_reads_anything(master: LocustMaster, path: str, sender: str):
    for method in ("GET", "HEAD"):
        answer = master.ask(method, path, READERS[sender])
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.attack("another website asks whether it may (CORS preflight)", "refused")
@pytest.mark.parametrize("path", CHANGES)
def test_no_preflight_is_granted(master: LocustMaster, path: str):
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = master.ask("OPTIONS", path, asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", sorted(READS - {"/login", "/stats/requests_full_history/csv"}))
def test_pages_are_read_by_whom_they_are_for_and_embedded_by_nobody(master: LocustMaster, path: str):
    for host in (f"127.0.0.1:{master.port}", f"localhost:{master.port}", "load.lan", "locust-master:8089", "[::1]"):
        answer = master.ask("GET", path, {"Host": host})
        assert answer.status_code == 200, answer.text
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_refusal_of_a_name_says_how_to_allow_it(master: LocustMaster):
    answer = master.ask("GET", "/", {"Host": "load.example.com:8089"})
    assert answer.status_code == 403
    assert "--allowed-hosts load.example.com" in answer.text
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_link_from_elsewhere_opens_the_page(master: LocustMaster):
    link = {"Sec-Fetch-Site": "cross-site", **NAVIGATION, "Referer": f"{EVIL}/"}
    assert master.ask("GET", "/", link).status_code == 200


@pytest.mark.parametrize("proof", ["own page", "own page by an allowed name", "Sec-Fetch-Site", "Referer", "token"])
def test_own_pages_and_the_token_start_stop_and_reset(master: LocustMaster, proof: str):
    headers = {
        "own page": {"Origin": master.url},
        "own page by an allowed name": {"Host": "load.lan", "Origin": "https://load.lan"},
        "Sec-Fetch-Site": {"Sec-Fetch-Site": "same-origin"},
        "Referer": {"Referer": f"{master.url}/"},
        "token": {"Authorization": f"Bearer {TOKEN}", "Host": "any.name"},
    }[proof]
    before = master.effects()
    assert master.ask("POST", "/swarm", headers, **LOAD).json()["success"]
    wait_until(lambda: master.effects()["state"] == "running", "the run goes on")
    for path in ("/stats/reset", "/mine", "/plugin", "/stop"):
        answer = master.ask("POST", path, headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]
    wait_until(lambda: master.effects()["state"] == "stopped", "the run is stopped")
    after = master.effects()
    changed = {name: after.get(name, 0) - before.get(name, 0) for name in ("started", "stopped", "mine", "plugin")}
    assert changed == {"started": 1, "stopped": 1, "mine": 1, "plugin": 1}
    assert after["reset"] > before.get("reset", 0)


def test_the_control_api_starts_and_ends_a_run_for_whom_it_is_for(master: LocustMaster):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    wait_until(master.has_worker, "the worker is there")
    answer = master.ask("POST", "/loadstone/runs", headers, json={"users": 1})
    assert answer.status_code == 202, answer.text
    wait_until(lambda: master.effects()["state"] == "running", "the run goes on")
    assert master.ask("POST", "/loadstone/stop", {"Origin": master.url}).status_code == 200
    wait_until(lambda: master.effects()["state"] == "stopped", "the run is stopped")


def test_the_client_of_a_stack_is_let_in_with_the_token_and_without(master: LocustMaster, tmp_path: Path):
    (tmp_path / "token").write_text(TOKEN)
    for options in ({}, {"stack_token_file": str(tmp_path / "token")}):
        settings = load(RunSettings, {"stack": "yes", "stack_url": master.url, **options}, environ={})
        run = StackRun(settings, RecordingView(), lambda: 0)
        with run._client:
            assert run._first_status().workers == 1
            assert run._stop()


@pytest.mark.attack("several Host headers, or one in the request line", "refused, or the name that counts is checked")
@pytest.mark.parametrize(
    "lines",
    [
        b"GET /effects HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n",
        b"GET /effects HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET /effects HTTP/1.1\r\n",
        b"GET /effects HTTP/1.0\r\n",
        b"GET http://localhost/effects HTTP/1.1\r\nHost: evil.example\r\n",
    ],
)
def test_a_doubtful_host_is_refused(master: LocustMaster, lines: bytes):
    with socket.create_connection(("127.0.0.1", master.port), timeout=10) as connection:
        connection.sendall(lines + b"Connection: close\r\n\r\n")
        assert connection.recv(65536).split(b" ")[1] in {b"403", b"400"}


def test_a_plain_locust_keeps_its_own_routes_as_they_are_and_guards_those_of_loadstone(stream: str, tmp_path: Path):
    with locust_master(tmp_path, stream, worker=False) as plain:
        read = plain.ask("GET", "/stats/requests", {"Origin": EVIL, "Host": "any.name"})
        assert (read.status_code, read.headers["Access-Control-Allow-Origin"]) == (200, EVIL)
        mine = plain.ask("POST", "/mine", {"Origin": EVIL})
        assert (mine.status_code, "X-Frame-Options" in mine.headers) == (200, False)
        assert plain.ask("POST", "/stats/reset", {}).status_code == 200
        for path in ("/loadstone/runs", "/loadstone/stop"):
            assert plain.ask("POST", path, {"Origin": EVIL}, json={"users": 1}).status_code == 403
        assert plain.ask("GET", "/loadstone/runs", {"Origin": plain.url}).status_code == 200


def test_locusts_login_guards_what_loadstone_adds_and_the_token_stands_for_it(stream: str, tmp_path: Path):
    settings = {"web_guard": "all", "control_token": TOKEN}
    with locust_master(tmp_path, stream, "--web-login", worker=False, **settings) as master:
        for method, path in (("GET", "/"), ("GET", "/loadstone/runs"), ("POST", "/loadstone/stop"), ("POST", "/stop")):
            answer = master.ask(method, path, {"Origin": master.url})
            assert (answer.status_code, answer.headers["Location"][:6]) == (302, "/login"), path
        assert master.ask("GET", "/loadstone/runs", {"Authorization": f"Bearer {TOKEN}"}).json()["state"] == "ready"
        form = {"username": "ann", "password": "right"}
        assert master.ask("POST", "/log_in", {"Origin": EVIL}, data=form).status_code == 403
        assert master.ask("POST", "/log_in", {"Origin": master.url}, data=form).status_code == 302
        assert master.ask("GET", "/", {}).status_code == 200
        assert master.ask("POST", "/loadstone/stop", {"Origin": master.url}).json() == {"run": None}
        assert master.ask("POST", "/loadstone/stop", {"Origin": EVIL}).status_code == 403
