"""The fast path: ``POST /predict`` on bare ASGI with msgspec; every other request goes to the FastAPI application.

FastAPI's own processing takes about 0.2 ms per request, twice as long as all of this module's. FastAPI still documents
the route.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from inference.codec import InvalidBodyError, Problem, encode_predictions, rejection
from inference.errors import OverloadedError, RowsRefusedError
from inference.telemetry import log_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from inference.codec import Payload
    from inference.model_manager import ModelManager
    from inference.serving import Serving
    from inference.telemetry import Metrics, Outcome

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


class _DisconnectedError(Exception):
    """The client closed the connection before its request was complete."""


class FastPath:
    """The ASGI application that the server runs.

    Args:
        api: the application that answers everything except ``POST /predict``.
        max_body_bytes: the largest body that is accepted.

    """

    def __init__(self, model_manager: ModelManager, api: App, metrics: Metrics, max_body_bytes: int) -> None:
        self._model_manager = model_manager
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
            answer = _content_type_problem(scope) or await self._answer(scope, receive, send)
        except _DisconnectedError:
            self._metrics.received("aborted")
            return
        if answer is not None:
            self._metrics.received(answer.outcome)
            await self._send(send, answer)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> _Answer | None:
        """Return the answer, or None when the naive application has sent it."""
        body = await _read(receive, self._max_body_bytes)
        if body is None:
            return _problem(413, f"the body exceeds {self._max_body_bytes} bytes (TARGET_MAX_BODY_BYTES)", "too_large")
        serving = self._model_manager.current
        if serving is None:
            error = self._model_manager.error or "the model is being loaded"
            return _Answer(503, _details([Problem(loc=(), msg=error, type="loading")]), "loading", _RETRY_S)
        started_s = time.perf_counter()
        if serving.naive is not None:
            await self._naive(serving, scope, body, send)
            answer = None
        else:
            answer = await _predictions(serving, body)
        self._metrics.request_s.observe(time.perf_counter() - started_s)
        return answer

    async def _naive(self, serving: Serving, scope: Message, body: bytes, send: Send) -> None:
        """Let the naive application answer, and count the outcome by its status."""
        sent_status = _SERVER_ERROR

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_and_note(message: Message) -> None:
            nonlocal sent_status
            if message["type"] == "http.response.start":
                sent_status = message["status"]
                message["headers"] = [*message["headers"], *self._closing()]
            await send(message)

        try:
            await serving.naive(scope, replay, send_and_note)
        except Exception as error:  # noqa: BLE001 - FastAPI has already answered 500; logged and counted
            _log_failure(serving, error)
        self._metrics.received(_outcome_of(sent_status))

    async def _send(self, send: Send, answer: _Answer) -> None:
        headers = [_JSON, (b"content-length", b"%d" % len(answer.body)), *self._closing()]
        if answer.retry_after is not None:
            headers.append((b"retry-after", answer.retry_after))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _closing(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header that makes clients reconnect elsewhere while this process drains."""
        return (_CLOSE,) if self._model_manager.draining else ()


async def _predictions(serving: Serving, body: bytes) -> _Answer:
    try:
        payload = serving.codec.decode(body)
        predictions = await _submit(serving, payload)
        encoded = encode_predictions(predictions, serving.model_info.version.number)
    except InvalidBodyError as invalid:
        return _Answer(422, _details(invalid.problems), "invalid")
    except RowsRefusedError as refused:
        return _Answer(422, _details([rejection(refused.what)]), "refused")
    except OverloadedError as full:
        problem = Problem(loc=(), msg=full.sentence(), type="overloaded")
        return _Answer(503, _details([problem]), "overloaded", b"%d" % full.retry_after_s)
    except Exception as error:  # noqa: BLE001 - a model may raise anything: answered, logged and counted
        _log_failure(serving, error)
        problem = Problem(loc=(), msg="the model failed; see the target's log", type="failed")
        return _Answer(500, _details([problem]), "failed")
    return _Answer(200, encoded, "ok")


def _submit(serving: Serving, payload: Payload) -> Awaitable[Any]:
    if serving.batcher is None:
        raise TypeError("a model without a batcher is served by the naive application")
    return serving.batcher.submit(payload)


async def _read(receive: Receive, max_bytes: int) -> bytes | None:
    """Read the whole body; None when it is too large."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message["body"]
        return body if len(body) <= max_bytes else None
    parts, size_bytes = [], 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size_bytes += len(message["body"])
        if size_bytes > max_bytes:
            return None
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise _DisconnectedError


def _content_type_problem(scope: Message) -> _Answer | None:
    """Return a 415 answer when the body is not declared as JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.split(b";", 1)[0].strip().lower()
            if kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json")):
                return None
            return _problem(415, f"content-type {kind.decode('latin-1')!r} is not application/json", "content_type")
    return _problem(415, "the content-type header is missing; set it to application/json", "content_type")


def _problem(status: int, message: str, kind: str) -> _Answer:
    return _Answer(status, _details([Problem(loc=("body",), msg=message, type=kind)]), "invalid")


def _details(problems: list[Problem]) -> bytes:
    return msgspec.json.encode({"detail": problems})


def _outcome_of(status: int) -> Outcome:
    if status < 400:  # noqa: PLR2004 - where HTTP's error codes begin
        return "ok"
    return "invalid" if status < _SERVER_ERROR else "failed"


def _log_failure(serving: Serving, error: Exception) -> None:
    log_error("model_failed", model=serving.model_info.version, reason=f"{type(error).__name__}: {error}")
