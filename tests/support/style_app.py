"""A server for the Locust files in tests/conformance/scenarios, a program of its own that counts what it received.

Run ``python tests/support/style_app.py HTTP_PORT GRPC_PORT WEBSOCKET_PORT``; support.style_server starts and asks it.
It speaks the protocols of inference servers and of a small shop as far as these files use them, and no further.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final
from urllib.parse import parse_qs

import grpc
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

LATENCY_S: Final = 0.02
"""What each answer takes."""
TOKENS: Final = ("Load", " tests", " ask", " again", ".")
CSRF_TOKEN: Final = "0123456789abcdef"
LOGIN_FORM: Final = f'<form><input name="csrf_token" value="{CSRF_TOKEN}"></form>'

received: Counter[str] = Counter()
statuses: Counter[int] = Counter()
lock = threading.Lock()


def count(what: str, status: int = 200) -> None:
    """Count one request, call or message and its outcome."""
    with lock:
        received[what] += 1
        statuses[status] += 1


class Handler(BaseHTTPRequestHandler):
    """All HTTP styles, told apart by their paths."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  (named by the base class)
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a GET request."""
        path, _, query = self.path.partition("?")
        if path == "/__count__":
            counts = {"total": received.total(), "requests": received, "statuses": statuses}
            self.answer(json.dumps({**counts, "connections": 0, "open_connections": 0}))
            return
        logged_in = "session=ada" in self.headers.get("Cookie", "")
        pages: dict[str, Any] = {
            "/v1/models/iris": {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]},
            "/v2/health/ready": {},
            "/readyz": {},
            "/basket": {"items": [3]} if logged_in else None,
            "/welcome": "Welcome, ada" if logged_in else None,
            "/login": LOGIN_FORM,
            "/logout": "Good bye",
            "/search": {"found": len(parse_qs(query))},
            "/": "Home",
        }
        page = pages.get(path, {"item": path} if path.startswith("/items/") else None)
        self.reply(403 if page is None else 200, page)

    def do_POST(self) -> None:
        """Answer a POST request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        match self.path:
            case "/__reset__" | "/__settings__":
                self.answer("{}")
            case "/v1/chat/completions":
                self.stream_tokens(json.loads(body))
            case "/v1/models/iris:predict":
                self.reply(200, {"predictions": [[0.9, 0.1] for _ in json.loads(body)["instances"]]})
            case "/v2/models/doubler/infer":
                self.double(body)
            case "/classify":
                self.reply(200, {"label": json.loads(body)["text"]})
            case "/upload" | "/summarize":
                self.reply(200 if self.has_file(body) else 415, {"bytes": len(body)})
            case "/login":
                self.log_in(parse_qs(body.decode()))
            case _:
                self.reply(200 if self.headers.get("X-CSRF-Token") == CSRF_TOKEN else 403, {"path": self.path})

    def reply(self, status: int, page: Any, **headers: str) -> None:
        """Count the request and answer it after the latency."""
        count(f"{self.command} {self.path.partition('?')[0]}", status)
        time.sleep(LATENCY_S)
        self.answer(page if isinstance(page, str) else json.dumps(page), status, headers)

    def answer(self, page: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        content = page if isinstance(page, bytes) else page.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def stream_tokens(self, asked: dict[str, Any]) -> None:
        """Stream an answer as server-sent events; to "Say nothing." there is no token in it."""
        count(f"POST {self.path}")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        silent = asked["messages"][-1]["content"] == "Say nothing."
        for token in () if silent else TOKENS:
            time.sleep(LATENCY_S)
            self.chunk(json.dumps({"choices": [{"delta": {"content": token}}]}))
        self.chunk("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data: str) -> None:
        """Send one event as one chunk."""
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def double(self, body: bytes) -> None:
        """Answer a binary tensor with its double, behind a JSON header."""
        split = int(self.headers["Inference-Header-Content-Length"])
        json.loads(body[:split])
        numbers = struct.unpack("<16f", body[split:])
        header = b'{"outputs":[{"name":"OUTPUT0","datatype":"FP32","shape":[1,16]}]}'
        count(f"POST {self.path}")
        time.sleep(LATENCY_S)
        tensor = struct.pack("<16f", *(2 * number for number in numbers))
        self.answer(header + tensor, headers={"Inference-Header-Content-Length": str(len(header))})

    def has_file(self, body: bytes) -> bool:
        """Whether the body is multipart form data with a file in it."""
        boundary = re.search(r"multipart/form-data; boundary=(\S+)", self.headers.get("Content-Type", ""))
        return boundary is not None and boundary[1].encode() in body and b"filename=" in body

    def log_in(self, form: dict[str, list[str]]) -> None:
        """Give a session to who has the form's token, and lead on to the welcome page."""
        if form.get("csrf_token") != [CSRF_TOKEN]:
            self.reply(403, {})
            return
        self.reply(303, "", Location="/welcome", Set_Cookie="session=ada; Path=/; HttpOnly")


class WebSocketHandler(BaseRequestHandler):
    """Echoes every text message."""

    def handle(self) -> None:
        """Serve one connection to its end."""
        connection = WSConnection(ConnectionType.SERVER)
        while data := self.request.recv(65536):
            connection.receive_data(data)
            for event in connection.events():
                self.request.sendall(self.reaction(connection, event))
                if isinstance(event, CloseConnection):
                    return

    def reaction(self, connection: WSConnection, event: object) -> bytes:
        """What is sent back for an event of the protocol."""
        if isinstance(event, Request):
            count("WS connect")
            return connection.send(AcceptConnection())
        if isinstance(event, TextMessage):
            count("WS echo")
            time.sleep(LATENCY_S)
            return connection.send(TextMessage(data=event.data))
        return connection.send(event.response()) if isinstance(event, CloseConnection) else b""


def predict(request: bytes, _context: object) -> bytes:
    """Answer one gRPC call; messages are JSON, which gRPC carries as any other bytes."""
    count("grpc /iris.Classifier/Predict")
    time.sleep(LATENCY_S)
    return json.dumps({"species": "setosa", "features": json.loads(request)["features"]}).encode()


def explain(_request: bytes, context: Any) -> bytes:
    """Refuse a call, as a service does that lacks a method."""
    count("grpc /iris.Classifier/Explain", 12)
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no explanations here")
    return b""


def main() -> None:
    """Serve on three ports until the program is ended."""
    http_port, grpc_port, socket_port = map(int, sys.argv[1:])
    calls = grpc.server(ThreadPoolExecutor(16))
    methods = {"Predict": predict, "Explain": explain}
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    calls.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("iris.Classifier", handlers),))
    calls.add_insecure_port(f"127.0.0.1:{grpc_port}")
    calls.start()
    ThreadingTCPServer.allow_reuse_address = True
    ThreadingTCPServer.daemon_threads = True
    sockets = ThreadingTCPServer(("127.0.0.1", socket_port), WebSocketHandler)
    threading.Thread(target=sockets.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", http_port), Handler).serve_forever()


if __name__ == "__main__":
    main()
