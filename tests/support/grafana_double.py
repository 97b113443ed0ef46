"""A double of Grafana's HTTP API that fails on demand, for Grafana itself cannot be had here.

It keeps folders, data sources, boards and annotations, and refuses (and remembers) every request whose shape is not
what Grafana publishes: https://grafana.com/docs/grafana/latest/developers/http_api/ (pages folder, data_source,
dashboard, annotations). Like a new Grafana it rewrites the boards that it is given: a higher ``schemaVersion``.

    with GrafanaDouble() as grafana:
        grafana.fail(503, after_storing=True)    # the next write is stored, but answered with 503
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TOKEN", "GrafanaDouble"]

TOKEN: Final = "glsa_a-token-of-a-service-account"
NEWER_SCHEMA: Final = 42
_UID: Final = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}


def _shape(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


_SOURCE: Final = _shape(
    {
        "name": {"type": "string"},
        "type": {"const": "influxdb"},
        "access": {"enum": ["proxy", "direct"]},
        "url": {"type": "string", "pattern": "^https?://"},
    },
    {
        "uid": _UID,
        "jsonData": {"type": "object"},
        "secureJsonData": {"type": "object", "additionalProperties": {"type": "string"}},
        "isDefault": {"type": "boolean"},
    },
)
_ANNOTATION: Final = _shape(
    {"time": {"type": "integer", "minimum": 1_000_000_000_000}, "tags": _TEXTS, "text": {"type": "string"}},
    {
        "timeEnd": {"type": "integer", "minimum": 1_000_000_000_000},
        "dashboardUID": _UID,
        "panelId": {"type": "integer"},
    },
)
SHAPES: Final = {
    ("POST", "folders"): _shape({"title": {"type": "string"}}, {"uid": _UID, "parentUid": _UID}),
    ("POST", "datasources"): _SOURCE,
    ("PUT", "datasources"): _SOURCE,
    ("POST", "dashboards"): _shape(
        {
            "dashboard": {
                "type": "object",
                "required": ["title", "schemaVersion", "panels"],
                "properties": {"id": {"type": ["integer", "null"]}, "uid": _UID, "version": {"type": "integer"}},
            }
        },
        {"folderUid": _UID, "message": {"type": "string"}, "overwrite": {"type": "boolean"}},
    ),
    ("POST", "annotations"): _ANNOTATION,
    ("PUT", "annotations"): _ANNOTATION,
}


class Refusal(Exception):  # noqa: N818  (an answer, not an error)
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Fault:
    status: int
    after_storing: bool
    method: str | None


class GrafanaDouble:
    """See the module's docstring. ``requests``: (method, path) as they came; ``writes``: those that were no GET."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.annotations: dict[int, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.misshapen: list[str] = []
        self.on_write: Callable[[], None] = lambda: None
        self._faults: deque[_Fault] = deque()
        self._ids = 0
        handler = type("Handler", (_Handler,), {"grafana": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """All requests that were no GET."""
        return [each for each in self.requests if each[0] != "GET"]

    def fail(self, *statuses: int, after_storing: bool = False, method: str | None = None) -> None:
        """Answer the next requests (of a method) with these statuses, one each; writes may be stored all the same."""
        self._faults.extend(_Fault(status, after_storing, method) for status in statuses)

    def answer(self, method: str, path: str, query: dict[str, list[str]], content: Any, token: str) -> Any:
        """What a request gets. Raises `Refusal`."""
        self.requests.append((method, path))
        if token != f"Bearer {TOKEN}":
            raise Refusal(401, "Invalid API key")
        fault = self._faults.popleft() if self._faults and self._faults[0].method in {None, method} else None
        if fault and not fault.after_storing:
            raise Refusal(fault.status, "a fault on demand")
        answered = self._answer(method, path.strip("/").split("/")[1:], query, content)
        if fault:
            raise Refusal(fault.status, "a fault on demand, after storing")
        return answered

    def _answer(self, method: str, parts: list[str], query: dict[str, list[str]], content: Any) -> Any:
        kind = parts[0]
        if method != "GET":
            self._check(method, kind, content)
            self.on_write()
        found: Callable[..., Any] | None = getattr(self, f"_{method.lower()}_{kind}", None)
        if found is None:
            raise Refusal(404, "Not found")
        return found(parts[1:], query if method == "GET" else content)

    def _check(self, method: str, kind: str, content: Any) -> None:
        for error in jsonschema.Draft202012Validator(SHAPES[method, kind]).iter_errors(content):
            self.misshapen.append(f"{method} {kind}: {error.message}")
            raise Refusal(400, f"bad request data: {error.message}")

    def _get_folders(self, parts: list[str], _: Any) -> Any:
        return self._known(self.folders, parts[0])

    def _post_folders(self, _: list[str], content: dict[str, Any]) -> Any:
        uid = content.get("uid") or f"made-{self._next()}"
        if uid in self.folders or content["title"] in {each["title"] for each in self.folders.values()}:
            raise Refusal(412, "a folder with the same name already exists")
        self.folders[uid] = {**content, "id": self._next(), "uid": uid}
        return self.folders[uid]

    def _get_datasources(self, parts: list[str], _: Any) -> Any:
        found = dict(self._known(self.sources, parts[1]))
        secrets = found.pop("secureJsonData", {})
        return {**found, "secureJsonFields": dict.fromkeys(secrets, True)}

    def _post_datasources(self, _: list[str], content: dict[str, Any]) -> Any:
        if content["uid"] in self.sources or content["name"] in {each["name"] for each in self.sources.values()}:
            raise Refusal(409, "data source with the same name already exists")
        self.sources[content["uid"]] = {**content, "id": self._next()}
        return {"datasource": self.sources[content["uid"]], "message": "Datasource added"}

    def _put_datasources(self, parts: list[str], content: dict[str, Any]) -> Any:
        self.sources[parts[1]] = {**self._known(self.sources, parts[1]), **content}
        return {"message": "Datasource updated"}

    def _get_dashboards(self, parts: list[str], _: Any) -> Any:
        return self._known(self.boards, parts[1])

    def _post_dashboards(self, _: list[str], content: dict[str, Any]) -> Any:
        board, folder = content["dashboard"], content.get("folderUid", "")
        if folder and folder not in self.folders:
            raise Refusal(404, "folder not found")
        there = self.boards.get(board["uid"])
        if there and not content.get("overwrite") and board.get("version") != there["dashboard"]["version"]:
            raise Refusal(412, "The dashboard has been changed by someone else")
        version = there["dashboard"]["version"] + 1 if there else 1
        number = there["dashboard"]["id"] if there else self._next()
        stored = {**board, "id": number, "version": version, "schemaVersion": NEWER_SCHEMA}
        self.boards[board["uid"]] = {"meta": {"folderUid": folder, "provisioned": False}, "dashboard": stored}
        return {"id": number, "uid": board["uid"], "status": "success", "version": version}

    def _get_annotations(self, _: list[str], query: dict[str, list[str]]) -> Any:
        tags, low, high = set(query.get("tags", ())), int(query["from"][0]), int(query["to"][0])
        found = self.annotations.values()
        return [each for each in found if tags <= set(each["tags"]) and low <= each["time"] <= high]

    def _post_annotations(self, _: list[str], content: dict[str, Any]) -> Any:
        number = self._next()
        self.annotations[number] = {"dashboardUID": "", **content, "id": number}
        return {"message": "Annotation added", "id": number}

    def _put_annotations(self, parts: list[str], content: dict[str, Any]) -> Any:
        self.annotations[int(parts[0])] |= content
        return {"message": "Annotation updated"}

    def _known(self, things: dict[str, dict[str, Any]], uid: str) -> dict[str, Any]:
        if uid not in things:
            raise Refusal(404, "not found")
        return things[uid]

    def _next(self) -> int:
        self._ids += 1
        return self._ids


class _Handler(BaseHTTPRequestHandler):
    grafana: GrafanaDouble

    def _serve(self) -> None:
        address = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(size)) if size else None
        token = self.headers.get("Authorization", "")
        try:
            status, answer = (
                200,
                self.grafana.answer(self.command, address.path, parse_qs(address.query), content, token),
            )
        except Refusal as refusal:
            status, answer = refusal.status, {"message": str(refusal)}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  (the names that http.server asks for)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
