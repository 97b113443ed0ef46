"""The Docker Engine's door: a real HAProxy that lets questions through to a socket, and nothing else."""

from __future__ import annotations

import http.client
import socket
import socketserver
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.usage.reading import SourceError, get_from_socket
from support.processes import ServerProcess
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "collector" / "engine" / "haproxy.cfg"
ID = "a1" * 32
ALLOWED = [
    "/_ping",
    "/version",
    "/v1.41/info",
    "/v1.41/containers/json?filters=%7B%22label%22%3A%5B%22com.docker.compose.project%22%5D%7D",
    f"/v1.41/containers/{ID}/json",
    f"/v1.41/containers/{ID}/stats?stream=false&one-shot=true",
    "/v1.41/events?since=1&until=2",
]
REFUSED = [
    ("POST", "/v1.41/containers/create"),
    ("POST", f"/v1.41/containers/{ID}/exec"),
    ("POST", f"/v1.41/containers/{ID}/json"),
    ("POST", f"/v1.41/containers/{ID}/update"),
    ("PUT", f"/v1.41/containers/{ID}/archive"),
    ("DELETE", f"/v1.41/containers/{ID}"),
    ("GET", f"/v1.41/containers/{ID}/archive?path=/run/secrets"),
    ("GET", f"/v1.41/containers/{ID}/export"),
    ("GET", f"/v1.41/containers/{ID}/logs?stdout=1"),
    ("GET", f"/v1.41/containers/{ID}/attach/ws"),
    ("GET", "/v1.41/containers/name/json"),
    ("GET", f"/v1.41/containers/{ID}/json/../../create"),
    ("GET", f"//v1.41/containers/{ID}/json"),
    ("GET", f"/v1.41/containers/{ID}%2Fjson"),
    ("GET", f"/v1.41/images/json?x=/containers/{ID}/json"),
    ("GET", "/v1.41/images/get"),
    ("GET", "/v1.41/secrets"),
    ("GET", "/v1.41/volumes"),
    ("CONNECT", "/v1.41/info"),
]


class _Engine(BaseHTTPRequestHandler):
    """A double of the Docker Engine that says what it was asked."""

    asked: list[str]

    def answer(self) -> None:
        self.asked.append(f"{self.command} {self.path} {self.headers.get('Upgrade', '')}".strip())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answered")

    def log_message(self, *_: Any) -> None: ...

    def address_string(self) -> str:
        return "client"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


@pytest.fixture
def asked() -> list[str]:
    """What reached the engine."""
    return []


@pytest.fixture
def door(haproxy_binary: Path, tmp_path: Path, asked: list[str]) -> Iterator[Path]:
    """The socket that `usage` and cAdvisor open."""
    engine, door = tmp_path / "engine.sock", tmp_path / "door.sock"
    methods = {f"do_{method}": _Engine.answer for method in ("GET", *{method for method, _ in REFUSED})}
    handler = type("Engine", (_Engine,), {"asked": asked, **methods})
    command = ["env", f"ENGINE_SOCKET={engine}", f"ENGINE_BIND={door}", haproxy_binary, "-db", "-f", CONFIGURATION]
    with (
        serving(socketserver.ThreadingUnixStreamServer(str(engine), handler)),
        ServerProcess(command, log=tmp_path / "haproxy.log", ready=door.exists),
    ):
        yield door


@pytest.mark.parametrize("path", ALLOWED)
def test_a_question_about_containers_is_answered(door: Path, asked: list[str], path: str):
    assert get_from_socket(door, path) == "answered"
    assert asked == [f"GET {path}"]


@pytest.mark.attack(
    "a container asks the Docker Engine for more than figures", "refused, and the engine never hears it"
)
@pytest.mark.parametrize(("method", "path"), REFUSED, ids=[f"{method} {path}" for method, path in REFUSED])
def test_nothing_else_reaches_the_engine(door: Path, asked: list[str], method: str, path: str):
    connection = _Connection(door)
    connection.request(method, path, headers={"Upgrade": "tcp", "Connection": "Upgrade"})
    assert connection.getresponse().status in {400, 403}
    connection.close()
    assert asked == []


def test_the_engine_hears_no_wish_to_go_on_after_the_answer(door: Path, asked: list[str]):
    connection = _Connection(door)
    connection.request("GET", "/info", headers={"Upgrade": "tcp", "Connection": "Upgrade"})
    assert connection.getresponse().status == 200
    connection.close()
    assert asked == ["GET /info"]


def test_an_engine_that_is_not_there_is_said(haproxy_binary: Path, tmp_path: Path):
    door = tmp_path / "door.sock"
    command = ["env", "ENGINE_SOCKET=/dev/null", f"ENGINE_BIND={door}", haproxy_binary, "-db", "-f", CONFIGURATION]
    with (
        ServerProcess(command, log=tmp_path / "haproxy.log", ready=door.exists),
        pytest.raises(SourceError, match="answers 503"),
    ):
        get_from_socket(door, "/info")
