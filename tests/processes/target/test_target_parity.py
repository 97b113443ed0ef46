"""Every mode gives the registry model's predictions: on random rows, in order, under concurrency, across a swap."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_helpers import in_process, loaded, log_model, registry_of

from inference.compiled import REL_TOLERANCE
from inference.compiling import store_beside_model
from inference.settings import parse_model_uri

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
MODES = ["naive", "batched", "compiled"]
# Beyond single precision a forest refuses a value (there is a test for that); up to there it takes every number.
VALUES = st.floats(-3.4e38, 3.4e38, allow_nan=False) | st.floats(-0.2, 0.2) | st.integers(-5, 5)
ROWS = st.lists(st.tuples(*[VALUES] * len(COLUMNS)), min_size=1, max_size=30)


@pytest.fixture(scope="module", params=MODES)
def served(request: Any, trained: Path):
    """Yield ``ask(bodies)``, which sends all bodies at once to a target in one mode and returns the answers."""
    with asyncio.Runner() as runner:
        stack = in_process(trained, TARGET_MODE=request.param)
        client = runner.run(stack.__aenter__())

        async def send(bodies: Any):
            return await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))

        yield lambda bodies: runner.run(send(bodies))
        runner.run(stack.__aexit__(None, None, None))


def _expected(model: Any, rows: list[Any]):
    return model.predict(pd.DataFrame(rows, columns=COLUMNS, dtype="float64"))


def _as_objects(rows: list[Any]):
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _agrees(given_values: Any, expected: Any):
    return np.allclose(given_values, expected, rtol=REL_TOLERANCE, atol=0)


@pytest.mark.filterwarnings(
    "ignore:(invalid value|overflow) encountered in reduce:RuntimeWarning"
)  # scikit-learn's own
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=ROWS)
def test_predictions_agree_with_the_registry_model_on_any_valid_rows(served: Any, forest: Any, rows: list[Any]):
    (answer,) = served([{"inputs": _as_objects(rows)}])
    assert answer.status_code == 200, answer.text
    assert _agrees(answer.json()["predictions"], _expected(forest, rows))


@pytest.mark.parametrize("requests", [1, 10, 100])
def test_predictions_agree_when_many_clients_ask_at_once(served: Any, forest: Any, requests: Any):
    random = np.random.default_rng(requests)
    rows = random.uniform(-0.2, 0.2, (requests, len(COLUMNS))).tolist()
    answers = served([{"inputs": row} for row in _as_objects(rows)])
    assert [answer.status_code for answer in answers] == [200] * requests
    assert _agrees([answer.json()["predictions"][0] for answer in answers], _expected(forest, rows))


@pytest.mark.parametrize("mode", ["batched", "compiled"])
def test_a_thousand_requests_of_different_sizes_at_once_get_their_own_rows_in_order(
    trained: Path, forest: Any, mode: str
):
    random = np.random.default_rng(7)
    asked = [random.uniform(-0.2, 0.2, (size, len(COLUMNS))).tolist() for size in random.integers(1, 4, 1000)]

    async def ask():
        async with in_process(trained, TARGET_MODE=mode) as client:
            posts = (client.post("/predict", json={"inputs": _as_objects(rows)}) for rows in asked)
            return await asyncio.gather(*posts)

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    expected = _expected(forest, [row for rows in asked for row in rows])
    assert [len(answer.json()["predictions"]) for answer in answers] == [len(rows) for rows in asked]
    assert _agrees([value for answer in answers for value in answer.json()["predictions"]], expected)


@pytest.mark.parametrize("mode", MODES)
def test_predictions_agree_with_the_version_that_the_answer_names_across_a_swap(
    registry_folder: Path, forest: Any, mode: str
):
    other = _second_forest(registry_folder)
    models = {"1": forest, "2": other}
    rows = np.random.default_rng(3).uniform(-0.2, 0.2, (200, len(COLUMNS))).tolist()
    client_of_registry = registry_of(registry_folder).client
    client_of_registry.set_registered_model_alias("diabetes", "champion", "1")

    async def ask():
        answers = []
        async with in_process(registry_folder, TARGET_MODE=mode, TARGET_MODEL_POLL_SECONDS="0.05") as client:
            client_of_registry.set_registered_model_alias("diabetes", "champion", "2")
            while not answers or answers[-1].json()["model_version"] != "2":
                posts = (client.post("/predict", json={"inputs": row}) for row in _as_objects(rows[:50]))
                answers.extend(await asyncio.gather(*posts))
        return answers

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model_version"] for answer in answers} == {"1", "2"}
    expected = {number: _expected(model, rows[:50]) for number, model in models.items()}
    for index, answer in enumerate(answers):
        value = expected[answer.json()["model_version"]][index % 50]
        assert _agrees(answer.json()["predictions"], [value])


def _second_forest(folder: Path):
    """Register a forest with other predictions as version 2, with its graph."""
    from mlflow.models import infer_signature
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import RandomForestRegressor

    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    forest = RandomForestRegressor(n_estimators=10, random_state=5).fit(rows, target)
    how = {"signature": infer_signature(rows, forest.predict(rows)), "input_example": rows.head(5)}
    log_model(folder, "sklearn", forest, name="diabetes", serialization_format="cloudpickle", **how)
    registry = registry_of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store_beside_model(registry.resolve(parse_model_uri("models:/diabetes/2")), registry)
    return loaded(folder, "models:/diabetes/2")
