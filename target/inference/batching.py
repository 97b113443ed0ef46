"""Adaptive micro-batching: while one batch is being predicted, new requests queue and form the next one.

No request waits for a batch to fill: an idle target answers a single row at once, and a busy one forms larger batches
by itself. The queue is bounded in rows and in expected waiting time, so that an overloaded target answers 503 at once
instead of timing out.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inference.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.codec import Codec, Payload
    from inference.telemetry import Metrics

# The first limit of rows per batch; it doubles after each full batch that was quick, like TCP's slow start (RFC 5681).
_FIRST_LIMIT_ROWS: Final = 16
# The longest time that a call of the model may block the event loop; longer calls go to a thread.
_LONGEST_INLINE_S: Final = 0.001
# Weight of the newest batch in the moving average of the time per batch.
_NEWEST_WEIGHT: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Bounds of the queue: rows in one batch, waiting rows, expected seconds of waiting."""

    batch_rows: int
    queue_rows: int
    queue_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: Payload
    answer: asyncio.Future[Any]
    since_s: float


class Batcher:
    """Calls one model for many requests. Belongs to one event loop; the model is called in one thread at a time.

    ``predict`` takes a payload of n rows and returns a list of n predictions. When ``inline`` is set, calls that are
    expected to take under a millisecond run on the event loop, which saves two thread switches.
    """

    def __init__(
        self,
        predict: Callable[[Payload], Any],
        codec: Codec,
        limits: QueueLimits,
        metrics: Metrics,
        *,
        inline: bool = False,
    ) -> None:
        self._predict = predict
        self._codec = codec
        self._limits = limits
        self._metrics = metrics
        self._inline = inline
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._queue: deque[_Waiting] = deque()
        self._busy = False
        self._closed = False
        self._limit_rows = min(_FIRST_LIMIT_ROWS, limits.batch_rows)
        self._batch_s = 0.0
        self._row_s = math.inf
        self.queued_rows = 0

    def submit(self, payload: Payload) -> asyncio.Future[Any]:
        """Queue the rows of one request; the future resolves to its predictions, or to the error that its rows cause.

        Raises:
            OverloadedError: the queue is full.

        """
        wait_s = self.expected_wait_s()
        if self._queue and (
            self.queued_rows + payload.n_rows > self._limits.queue_rows or wait_s > self._limits.queue_s
        ):
            raise OverloadedError(self.queued_rows, max(1, math.ceil(wait_s)))
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._queue.append(_Waiting(payload, answer, time.perf_counter()))
        self.queued_rows += payload.n_rows
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next)
        return answer

    def expected_wait_s(self) -> float:
        """Estimate how long a request submitted now would wait: batches ahead of it times the recent time per batch."""
        return math.ceil(self.queued_rows / self._limit_rows) * self._batch_s

    def close(self) -> None:
        """Answer all queued requests, then stop the thread. No request may be submitted afterwards."""
        self._closed = True
        if not self._busy:
            self._thread.shutdown(wait=False)

    def _next(self) -> None:
        """Start the next batch, or go idle when the queue is empty."""
        if not self._queue:
            self._busy = False
            if self._closed:
                self._thread.shutdown(wait=False)
            return
        batch = self._take()
        rows = sum(waiting.payload.n_rows for waiting in batch)
        if self._inline and rows * self._row_s < _LONGEST_INLINE_S:
            self._finish(batch, rows, self._call(batch))
            asyncio.get_running_loop().call_soon(self._next)
        else:
            asyncio.get_running_loop().run_in_executor(self._thread, self._call, batch).add_done_callback(
                lambda done: self._finish_and_continue(batch, rows, done)
            )

    def _take(self) -> list[_Waiting]:
        """Take requests off the queue, at least one and up to the limit of rows."""
        batch = [self._queue.popleft()]
        rows = batch[0].payload.n_rows
        while self._queue and rows + self._queue[0].payload.n_rows <= self._limit_rows:
            batch.append(self._queue.popleft())
            rows += batch[-1].payload.n_rows
        self.queued_rows -= rows
        return batch

    def _call(self, batch: list[_Waiting]) -> tuple[float, float, list[Any]]:
        """Call the model; return its start time, its duration, and predictions or an error for each request."""
        started_s = time.perf_counter()
        payloads = [waiting.payload for waiting in batch]
        results = predict_each(self._predict, self._codec, payloads, self._metrics.batch_splits.inc)
        return started_s, time.perf_counter() - started_s, results

    def _finish_and_continue(self, batch: list[_Waiting], rows: int, done: asyncio.Future[Any]) -> None:
        self._finish(batch, rows, done.result())
        self._next()

    def _finish(self, batch: list[_Waiting], rows: int, called: tuple[float, float, list[Any]]) -> None:
        started_s, took_s, results = called
        self._learn(rows, took_s)
        metrics = self._metrics
        metrics.batch_rows.observe(rows)
        metrics.model_s.observe(took_s)
        metrics.rows.inc(rows)
        for waiting, result in zip(batch, results, strict=True):
            metrics.queue_s.observe(started_s - waiting.since_s)
            _settle(waiting.answer, result)

    def _learn(self, rows: int, took_s: float) -> None:
        """Update the time per batch, and adjust the limit to keep a batch below a quarter of the allowed wait."""
        self._batch_s += _NEWEST_WEIGHT * (took_s - self._batch_s)
        self._row_s = took_s / rows
        if took_s > self._limits.queue_s / 4:
            self._limit_rows = max(1, self._limit_rows // 2)
        elif rows * 2 > self._limit_rows and took_s < self._limits.queue_s / 8:
            self._limit_rows = min(self._limits.batch_rows, self._limit_rows * 2)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    """Resolve a request's future, unless the client has disconnected."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def predict_each(
    predict: Callable[[Payload], Any], codec: Codec, payloads: Sequence[Payload], on_split: Callable[[], None]
) -> list[Any]:
    """Predict several requests in one call; each gets its predictions, or the exception that its own rows cause.

    When the call fails, ``on_split`` is called and each request is predicted separately.
    """
    if len(payloads) > 1:
        try:
            return _split(predict(codec.join(payloads)), payloads)
        except Exception:  # noqa: BLE001 - counted by on_split; each request is tried again separately below
            on_split()
    return [_predict_one(predict, payload) for payload in payloads]


def _predict_one(predict: Callable[[Payload], Any], payload: Payload) -> Any:
    try:
        return predict(payload)
    except Exception as error:  # noqa: BLE001 - returned to the request that caused it, which counts and logs it
        return error


def _split(predictions: Any, payloads: Sequence[Payload]) -> list[Any]:
    total = sum(payload.n_rows for payload in payloads)
    if not isinstance(predictions, list) or len(predictions) != total:
        raise TypeError(f"the model did not return one prediction per row ({total} rows)")
    split, start = [], 0
    for payload in payloads:
        split.append(predictions[start : start + payload.n_rows])
        start += payload.n_rows
    return split
