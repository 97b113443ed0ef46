"""Adaptive micro-batching: one batch is in flight, the next is what queued meanwhile, and nothing lingers.

An idle target therefore answers a single row at once, and a busy one grows its batches by itself. The queue is bounded
in rows and in expected waiting time, so that an overloaded target says 503 at once instead of timing out.
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
from inference.predictors import predict_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.codec import Codec, Payload
    from inference.metrics import Metrics

# Where the batch size starts; it doubles with each full batch that was quick, as TCP's slow start does (RFC 5681).
_FIRST_LIMIT: Final = 16
# The longest that a call of the model may hold the event loop; longer ones go to a thread.
_INLINE_S: Final = 0.001
# Weight of the newest batch in the moving average of the time per batch.
_NEWEST: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Bounds of the queue: rows in one batch, rows that wait, expected seconds of waiting."""

    batch_rows: int
    queue_rows: int
    queue_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: Payload
    answer: asyncio.Future[Any]
    since: float


class Batcher:
    """Calls one model for many requests. Belongs to one event loop; the model is called in one thread at a time.

    ``predict`` takes a payload of n rows and gives a list of n predictions. When ``inline`` is set, calls that are
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
        self._limit = min(_FIRST_LIMIT, limits.batch_rows)
        self._batch_s = 0.0
        self._row_s = math.inf
        self.queued_rows = 0

    def submit(self, payload: Payload) -> asyncio.Future[Any]:
        """Queue the rows of one request; the future gives its predictions or the error that concerns it alone.

        Raises:
            OverloadedError: the queue is full.

        """
        wait_s = self.expected_wait_s()
        if self._queue and (self.queued_rows + payload.n > self._limits.queue_rows or wait_s > self._limits.queue_s):
            raise OverloadedError(self.queued_rows, max(1, math.ceil(wait_s)))
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._queue.append(_Waiting(payload, answer, time.perf_counter()))
        self.queued_rows += payload.n
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next)
        return answer

    def expected_wait_s(self) -> float:
        """Estimate how long a request that comes now waits: batches before it times the recent time of one."""
        return math.ceil(self.queued_rows / self._limit) * self._batch_s

    def close(self) -> None:
        """Answer what is queued, then stop the thread. No request may be submitted afterwards."""
        self._closed = True
        if not self._busy:
            self._thread.shutdown(wait=False)

    def _next(self) -> None:
        """Start the next batch, or rest when nothing waits."""
        if not self._queue:
            self._busy = False
            if self._closed:
                self._thread.shutdown(wait=False)
            return
        batch = self._take()
        rows = sum(waiting.payload.n for waiting in batch)
        if self._inline and rows * self._row_s < _INLINE_S:
            self._finish(batch, rows, self._call(batch))
            asyncio.get_running_loop().call_soon(self._next)
        else:
            asyncio.get_running_loop().run_in_executor(self._thread, self._call, batch).add_done_callback(
                lambda done: self._finish_and_go_on(batch, rows, done)
            )

    def _take(self) -> list[_Waiting]:
        """Take requests off the queue up to the limit of rows, at least one."""
        batch = [self._queue.popleft()]
        rows = batch[0].payload.n
        while self._queue and rows + self._queue[0].payload.n <= self._limit:
            batch.append(self._queue.popleft())
            rows += batch[-1].payload.n
        self.queued_rows -= rows
        return batch

    def _call(self, batch: list[_Waiting]) -> tuple[float, float, list[Any]]:
        """Call the model: when the call started, seconds it took, and predictions or an error for each request."""
        started = time.perf_counter()
        payloads = [waiting.payload for waiting in batch]
        results = predict_each(self._predict, self._codec, payloads, self._metrics.batch_splits.inc)
        return started, time.perf_counter() - started, results

    def _finish_and_go_on(self, batch: list[_Waiting], rows: int, done: asyncio.Future[Any]) -> None:
        self._finish(batch, rows, done.result())
        self._next()

    def _finish(self, batch: list[_Waiting], rows: int, called: tuple[float, float, list[Any]]) -> None:
        started, took_s, results = called
        self._learn(rows, took_s)
        metrics = self._metrics
        metrics.batch_rows.observe(rows)
        metrics.model_s.observe(took_s)
        metrics.rows.inc(rows)
        for waiting, result in zip(batch, results, strict=True):
            metrics.queue_s.observe(started - waiting.since)
            _settle(waiting.answer, result)

    def _learn(self, rows: int, took_s: float) -> None:
        """Follow the time per batch, and keep a batch within a quarter of the longest wait that is allowed."""
        self._batch_s += _NEWEST * (took_s - self._batch_s)
        self._row_s = took_s / rows
        if took_s > self._limits.queue_s / 4:
            self._limit = max(1, self._limit // 2)
        elif rows * 2 > self._limit and took_s < self._limits.queue_s / 8:
            self._limit = min(self._limits.batch_rows, self._limit * 2)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    """Hand the result to its request, unless the client has gone."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
