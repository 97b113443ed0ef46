"""A real target under overload, and under a thousand simultaneous requests in naive mode."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest
from load import Plan, drive
from mlflow.models import infer_signature
from mlflow.pyfunc import PythonModel
from target_helpers import loaded, log_model, running

if TYPE_CHECKING:
    from pathlib import Path

USERS = 200


def _slow_model() -> PythonModel:
    """A model that takes 5 ms for each row; made in a function so that it is stored by value, not by its module."""

    class Slow(PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):
            import time

            time.sleep(0.005 * len(model_input))
            return model_input["x"] * 2

    return Slow()


@pytest.fixture(scope="module")
def slow(trained: Path) -> Path:
    rows = pd.DataFrame({"x": [1.0, 2.0]})
    log_model(trained, "pyfunc", _slow_model(), name="slow", signature=infer_signature(rows), input_example=rows)
    return trained


def test_an_overloaded_target_answers_503_at_once_loses_nothing_and_recovers_when_the_load_ends(slow: Path):
    with running(slow, MODEL_URI="models:/slow@champion", TARGET_QUEUE_SECONDS="0.2") as target:
        body = json.dumps({"inputs": {"x": 1.0}})
        plan = Plan(port=target.port, users=USERS, seconds=4.0, think_s=(0.0, 0.05), bodies=[body])
        result = asyncio.run(drive(plan))
        assert set(result.statuses) == {"200", "503"}
        assert result.unanswered == 0
        refused = target.metric('target_predict_requests_total{outcome="overloaded"}')
        served = target.metric('target_predict_requests_total{outcome="ok"}')
        assert (served, refused) == (result.statuses["200"], result.statuses["503"])
        after = [target.predict({"x": 2.0}) for _ in range(5)]
        assert [answer.status_code for answer in after] == [200] * 5


def test_a_thousand_naive_requests_at_once_get_their_own_predictions(trained: Path):
    forest = loaded(trained, "models:/diabetes@champion")
    with running(trained, TARGET_MODE="naive") as target:
        columns = list(target.get("/info").json()["input_example"][0])
        rows = np.random.default_rng(1).uniform(-0.2, 0.2, (1000, len(columns)))
        answers = asyncio.run(_ask_all(target.url, [dict(zip(columns, row, strict=True)) for row in rows.tolist()]))
    expected = forest.predict(pd.DataFrame(rows, columns=columns))
    assert np.allclose([answer["predictions"][0] for answer in answers], expected)


async def _ask_all(url: str, rows: list[dict[str, float]]) -> list[dict[str, Any]]:
    limits = httpx.Limits(max_connections=1000)
    async with httpx.AsyncClient(limits=limits, timeout=90) as client:
        answers = await asyncio.gather(*(client.post(f"{url}/predict", json={"inputs": row}) for row in rows))
    return [answer.json() for answer in answers]
