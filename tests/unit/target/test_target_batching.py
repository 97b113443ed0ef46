"""Micro-batching with plain functions as models, so that each batch is seen."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from inference.batching import Batcher, QueueLimits
from inference.codec import Codec, Payload
from inference.errors import OverloadedError
from inference.signature import Column, Signature
from inference.telemetry import Metrics
from support.prometheus import metric

CODEC = Codec(Signature(columns=(Column(name="x", type="double"),)), 1000)
LIMITS = QueueLimits(batch_rows=8, queue_rows=10, queue_s=60.0)


class Model:
    """Doubles each value, remembers its batches, and blocks while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, payload: Payload) -> list[float]:
        self.begun.set()
        self.gate.wait(30)
        values = [row[0] for row in payload.data]
        self.batches.append(values)
        if -1 in values:
            raise ArithmeticError("poison")
        return [value * 2 for value in values]


def _rows(*values: float):
    return Payload(len(values), [(value,) for value in values])


def _with_batcher(check: Any, *, limits: Any = LIMITS, inline: Any = False, model: Any = None):
    """Run ``check(batcher, model, metrics)`` on an event loop."""

    async def run():
        used, metrics = model or Model(), Metrics()
        batcher = Batcher(used, CODEC, limits, metrics, inline=inline)
        await check(batcher, used, metrics)
        batcher.close()

    asyncio.run(run())


@pytest.mark.parametrize("inline", [False, True])
def test_an_idle_batcher_calls_the_model_for_each_request_at_once(inline: Any):
    async def check(batcher: Any, model: Any, _: Any):
        for value in (1, 2, 3):
            assert await batcher.submit(_rows(value)) == [value * 2]
        assert model.batches == [[1], [2], [3]]

    _with_batcher(check, inline=inline)


def test_requests_that_queue_while_a_batch_is_in_flight_form_the_next_batch():
    async def check(batcher: Any, model: Any, metrics: Any):
        model.gate.clear()
        model.begun.clear()
        first = batcher.submit(_rows(0))
        assert await asyncio.to_thread(model.begun.wait, 30)
        waiting = [batcher.submit(_rows(value)) for value in (1, 2, 3)]
        assert batcher.queued_rows == 3
        model.gate.set()
        assert [await answer for answer in (first, *waiting)] == [[0], [2], [4], [6]]
        assert model.batches == [[0], [1, 2, 3]]
        assert metric(metrics.text().decode(), "target_batch_rows_count") == 2

    _with_batcher(check)


def test_each_request_gets_the_predictions_of_its_own_rows():
    async def check(batcher: Any, _: Any, __: Any):
        sizes = [1, 3, 2, 4]
        payloads = [_rows(*(10 * number + row for row in range(size))) for number, size in enumerate(sizes)]
        answers = await asyncio.gather(*map(batcher.submit, payloads))
        assert answers == [[row[0] * 2 for row in payload.data] for payload in payloads]

    _with_batcher(check)


def test_a_batch_holds_no_more_rows_than_allowed_but_a_large_request_stays_whole():
    async def check(batcher: Any, model: Any, _: Any):
        answers = [batcher.submit(_rows(*range(3))), batcher.submit(_rows(*range(3))), batcher.submit(_rows(*range(4)))]
        await asyncio.gather(*answers)
        assert [len(batch) for batch in model.batches] == [3, 3, 4]
        assert len(await batcher.submit(_rows(*range(9)))) == 9

    _with_batcher(check, limits=QueueLimits(batch_rows=5, queue_rows=10, queue_s=60.0))


@pytest.mark.parametrize("inline", [False, True])
def test_only_the_request_that_makes_the_model_fail_fails(inline: Any):
    async def check(batcher: Any, _: Any, metrics: Any):
        answers = [batcher.submit(_rows(value)) for value in (1, -1, 3)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [results[0], results[2]] == [[2], [6]]
        assert isinstance(results[1], ArithmeticError)
        assert metric(metrics.text().decode(), "target_batch_splits_total") == 1

    _with_batcher(check, inline=inline)


def test_a_model_that_does_not_give_one_prediction_per_row_is_called_for_each_request_alone():
    def total(payload: Any):
        return [sum(row[0] for row in payload.data)]

    async def check(batcher: Any, _: Any, __: Any):
        answers = await asyncio.gather(batcher.submit(_rows(1, 2)), batcher.submit(_rows(3, 4)))
        assert answers == [[3], [7]]

    _with_batcher(check, model=total)


def test_a_full_queue_refuses_at_once_says_when_to_retry_and_accepts_requests_when_it_has_room():
    async def check(batcher: Any, model: Any, _: Any):
        model.gate.clear()
        model.begun.clear()
        taken = [batcher.submit(_rows(0))]
        assert await asyncio.to_thread(model.begun.wait, 30)
        taken += [batcher.submit(_rows(value)) for value in range(10)]
        with pytest.raises(OverloadedError) as caught:
            batcher.submit(_rows(11))
        assert caught.value.retry_after_s >= 1
        model.gate.set()
        await asyncio.gather(*taken)
        assert await batcher.submit(_rows(12)) == [24]

    _with_batcher(check)


def test_a_queue_with_too_long_a_wait_is_full_however_few_rows_it_holds():
    async def check(batcher: Any, model: Any, _: Any):
        await batcher.submit(_rows(0))  # the batcher now knows that a batch takes time
        model.gate.clear()
        model.begun.clear()
        taken = [batcher.submit(_rows(0))]
        assert await asyncio.to_thread(model.begun.wait, 30)
        taken.append(batcher.submit(_rows(1)))
        with pytest.raises(OverloadedError):
            batcher.submit(_rows(2))
        model.gate.set()
        await asyncio.gather(*taken)

    _with_batcher(check, limits=QueueLimits(batch_rows=8, queue_rows=1000, queue_s=1e-9))


def test_an_empty_queue_accepts_a_request_however_slow_the_model_is():
    async def check(batcher: Any, _: Any, __: Any):
        for value in range(3):
            assert await batcher.submit(_rows(value)) == [value * 2]

    _with_batcher(check, limits=QueueLimits(batch_rows=8, queue_rows=1, queue_s=1e-9))


def test_closing_answers_all_queued_requests_first():
    async def check(batcher: Any, model: Any, _: Any):
        model.gate.clear()
        model.begun.clear()
        answers = [batcher.submit(_rows(0))]
        assert await asyncio.to_thread(model.begun.wait, 30)
        answers += [batcher.submit(_rows(value)) for value in (1, 2)]
        batcher.close()
        model.gate.set()
        assert await asyncio.gather(*answers) == [[0], [2], [4]]

    _with_batcher(check)


def test_a_client_that_disconnects_does_not_affect_the_rest_of_its_batch():
    async def check(batcher: Any, _: Any, __: Any):
        gone, stays = batcher.submit(_rows(1)), batcher.submit(_rows(2))
        gone.cancel()
        assert await stays == [4]

    _with_batcher(check)
