"""The hot path: ``POST /predict`` on bare ASGI with msgspec; every other request goes to the FastAPI application.

FastAPI's own machinery costs about 0.2 ms a request, twice what everything here takes together; it still documents
the route.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from inference import logs
from inference.codec import InvalidBodyError, encode_predictions
from inference.errors import OverloadedError, RowsRefusedError
from inference.naive import refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from inference.codec import Payload
    from inference.keeper import Keeper
    from inference.metrics import Metrics, Outcome
    from inference.serving import Serving

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_CLOSE: Final = (b"connection", b"close")
_RETRY_S: Final = b"1"
_SERVER_ERROR: Final = 500


@dataclass(slots=True)
class _Answer:
    status: int
    body: bytes
    outcome: Outcome
    retry_after: bytes | None = None


class _GoneError(Exception):
    """The client closed the connection before its request was complete."""


class Gate:
    """The ASGI application that the server runs.

    Args:
        api: answers everything but ``POST /predict``.
        max_body_bytes: the largest body that is read.

    """

    def __init__(self, keeper: Keeper, api: App, metrics: Metrics, max_body_bytes: int) -> None:
        self._keeper = keeper
        self._api = api
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            await self._predict(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _predict(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            answer = _wrong_type(scope) or await self._answer(scope, receive, send)
        except _GoneError:
            self._metrics.received("aborted")
            return
        if answer is not None:
            self._metrics.received(answer.outcome)
            await self._send(send, answer)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> _Answer | None:
        """Give the answer, or None when the naive application sent it."""
        body = await _read(receive, self._max_body_bytes)
        if body is None:
            limit = f"the body is larger than {self._max_body_bytes} bytes (TARGET_MAX_BODY_BYTES)"
            return _problem(413, limit, "too_large")
        serving = self._keeper.current
        if serving is None:
            why = self._keeper.trouble or "the model is being loaded"
            return _Answer(503, _details([{"loc": [], "msg": why, "type": "loading"}]), "loading", _RETRY_S)
        started = time.perf_counter()
        if serving.naive is not None:
            await self._naive(serving, scope, body, send)
            answer = None
        else:
            answer = await _predictions(serving, body)
        self._metrics.request_s.observe(time.perf_counter() - started)
        return answer

    async def _naive(self, serving: Serving, scope: Message, body: bytes, send: Send) -> None:
        """Let the naive application answer, and count what it said."""
        seen = _SERVER_ERROR

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def note(message: Message) -> None:
            nonlocal seen
            if message["type"] == "http.response.start":
                seen = message["status"]
                message["headers"] = [*message["headers"], *self._closing()]
            await send(message)

        try:
            await serving.naive(scope, replay, note)
        except Exception as problem:  # noqa: BLE001 - FastAPI has answered 500 by now; logged and counted
            _log_failure(serving, problem)
        self._metrics.received(_outcome_of(seen))

    async def _send(self, send: Send, answer: _Answer) -> None:
        headers = [_JSON, (b"content-length", b"%d" % len(answer.body)), *self._closing()]
        if answer.retry_after is not None:
            headers.append((b"retry-after", answer.retry_after))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _closing(self) -> tuple[tuple[bytes, bytes], ...]:
        """Ask kept-alive clients to connect elsewhere while this process drains."""
        return (_CLOSE,) if self._keeper.draining else ()


async def _predictions(serving: Serving, body: bytes) -> _Answer:
    try:
        payload = serving.codec.decode(body)
        predictions = await _submit(serving, payload)
        encoded = encode_predictions(predictions, serving.card.version.number)
    except InvalidBodyError as invalid:
        return _Answer(422, _details(invalid.problems), "invalid")
    except RowsRefusedError as refused:
        return _Answer(422, _details(refusal(refused.what)), "refused")
    except OverloadedError as full:
        problem = {"loc": [], "msg": full.sentence(), "type": "overloaded"}
        return _Answer(503, _details([problem]), "overloaded", b"%d" % full.retry_after_s)
    except Exception as problem:  # noqa: BLE001 - whatever a model raises is answered, logged and counted
        _log_failure(serving, problem)
        return _Answer(500, _details([{"loc": [], "msg": "the model failed; see the log", "type": "failed"}]), "failed")
    return _Answer(200, encoded, "ok")


def _submit(serving: Serving, payload: Payload) -> Awaitable[Any]:
    if serving.batcher is None:
        raise TypeError("only the naive application serves without a batcher")
    return serving.batcher.submit(payload)


async def _read(receive: Receive, most_bytes: int) -> bytes | None:
    """Read the whole body; None when it is too large."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message["body"]
        return body if len(body) <= most_bytes else None
    parts, size = [], 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size += len(message["body"])
        if size > most_bytes:
            return None
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise _GoneError


def _wrong_type(scope: Message) -> _Answer | None:
    """Refuse a body that does not say it is JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.split(b";", 1)[0].strip().lower()
            if kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json")):
                return None
            return _problem(415, f"content-type {kind.decode('latin-1')!r} is not application/json", "content_type")
    return _problem(415, "the content-type header is missing; it must be application/json", "content_type")


def _problem(status: int, message: str, kind: str) -> _Answer:
    return _Answer(status, _details([{"loc": ["body"], "msg": message, "type": kind}]), "invalid")


def _details(problems: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode({"detail": problems})


def _outcome_of(status: int) -> Outcome:
    if status < 400:  # noqa: PLR2004 - HTTP's own boundary of success
        return "ok"
    return "invalid" if status < _SERVER_ERROR else "failed"


def _log_failure(serving: Serving, problem: Exception) -> None:
    logs.error("model_failed", model=serving.card.version, why=f"{type(problem).__name__}: {problem}")
