"""The whole application on one event loop, with the real model of the session's registry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from target_helpers import in_process, metric

if TYPE_CHECKING:
    from pathlib import Path

MODES = ["naive", "batched"]


def _run(call: Any):
    asyncio.run(call)


@pytest.mark.parametrize("mode", MODES)
def test_one_row_and_many_rows_get_the_registry_models_predictions_in_order(trained: Path, forest: Any, mode: str):
    import pandas as pd

    async def check():
        async with in_process(trained, TARGET_MODE=mode) as client:
            rows = (await client.get("/info")).json()["input_example"]
            many = await client.post("/predict", json={"inputs": rows})
            one = await client.post("/predict", json={"inputs": rows[3]})
        expected = forest.predict(pd.DataFrame(rows)).tolist()
        assert many.json() == {"predictions": pytest.approx(expected, rel=1e-6), "model_version": "1"}
        assert one.json()["predictions"] == pytest.approx(expected[3:4], rel=1e-6)

    _run(check())


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_field_is_answered_with_422_in_the_same_words_in_every_mode(trained: Path, mode: str):
    async def check():
        async with in_process(trained, TARGET_MODE=mode) as client:
            row = (await client.get("/info")).json()["input_example"][0]
            del row["age"]
            wrong = await client.post("/predict", json={"inputs": [{**row, "bmi": "heavy", "height": 1}]})
        assert wrong.status_code == 422
        assert sorted(wrong.json()["detail"], key=str) == sorted(
            [
                {"loc": ["body", "inputs", 0, "age"], "msg": "Field required", "type": "missing"},
                {"loc": ["body", "inputs", 0, "bmi"], "msg": "Input should be a valid number", "type": "float_type"},
                {
                    "loc": ["body", "inputs", 0, "height"],
                    "msg": "Extra inputs are not permitted",
                    "type": "extra_forbidden",
                },
            ],
            key=str,
        )

    _run(check())


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("mode", MODES)
def test_rows_that_the_model_itself_rejects_are_answered_with_422(trained: Path, mode: str):
    async def check():
        async with in_process(trained, TARGET_MODE=mode) as client:
            row = (await client.get("/info")).json()["input_example"][0]
            refused = await client.post("/predict", json={"inputs": {**row, "age": 1e300}})
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["type"] == "model_refused"

    _run(check())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"inputs": {"age": NaN}}', "application/json", 422),
        (b"{broken", "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 422),
        (b"age=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"[" * 5000, "application/json", 413),
    ],
)
def test_an_invalid_body_is_answered_with_4xx_and_counted(
    trained: Path, mode: str, content: bytes, kind: str, status: int
):
    async def check():
        async with in_process(trained, TARGET_MODE=mode, TARGET_MAX_BODY_BYTES="4096") as client:
            headers = {"content-type": kind} if kind else {}
            answer = await client.post("/predict", content=content, headers=headers)
            metrics = (await client.get("/metrics")).text
        assert answer.status_code == status
        assert answer.json()["detail"][0]["loc"][0] == "body"
        assert metric(metrics, 'target_predict_requests_total{outcome="invalid"}') == 1

    _run(check())


def test_metrics_count_every_request_by_outcome_and_every_row(trained: Path):
    async def check():
        async with in_process(trained, TARGET_MODE="batched") as client:
            rows = (await client.get("/info")).json()["input_example"]
            for count in (1, 2, 3):
                await client.post("/predict", json={"inputs": rows[:count]})
            await client.post("/predict", json={"inputs": []})
            text = (await client.get("/metrics")).text
        assert metric(text, 'target_predict_requests_total{outcome="ok"}') == 3
        assert metric(text, 'target_predict_requests_total{outcome="invalid"}') == 1
        assert metric(text, "target_rows_total") == 6
        assert metric(text, "target_queue_rows") == 0
        assert metric(text, "target_batch_rows_sum") == 6
        assert metric(text, 'target_model_info{mode="batched",name="diabetes",version="1"}') == 1

    _run(check())


def test_info_shows_the_model_its_signature_its_example_and_the_limits(trained: Path):
    async def check():
        async with in_process(trained, TARGET_MODE="naive") as client:
            info = (await client.get("/info")).json()
        assert (info["model"], info["version"], info["alias"]) == ("diabetes", "1", "champion")
        assert info["run_id"]
        assert len(info["signature"]["inputs"]) == 10
        assert info["signature"]["inputs"][0] == {"name": "age", "type": "double", "required": True}
        assert all(len(row) == 10 for row in info["input_example"])
        assert (info["mode"], info["mode_why"]) == ("naive", "TARGET_MODE=naive")
        assert set(info["limits"]) == {"cpu_cores", "memory_bytes"}

    _run(check())


def test_openapi_documents_predict_with_the_columns_of_the_signature(trained: Path):
    async def check():
        async with in_process(trained, TARGET_MODE="batched") as client:
            document = (await client.get("/openapi.json")).json()
        post = document["paths"]["/predict"]["post"]
        assert post["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/PredictRequest"
        }
        assert "age" in document["components"]["schemas"]["Row"]["properties"]
        assert {"200", "413", "415", "422", "500", "503"} <= set(post["responses"])

    _run(check())


def test_an_unknown_path_gets_404_and_a_wrong_method_405(trained: Path):
    async def check():
        async with in_process(trained, TARGET_MODE="naive") as client:
            assert (await client.get("/nothing")).status_code == 404
            assert (await client.get("/predict")).status_code == 405

    _run(check())


@pytest.mark.parametrize("uri", ["models:/diabetes/1", "models:/diabetes/latest", "models:/diabetes/None"])
def test_a_version_the_latest_and_a_legacy_stage_are_served_too(trained: Path, uri: str):
    async def check():
        async with in_process(trained, TARGET_MODE="naive", MODEL_URI=uri) as client:
            info = (await client.get("/info")).json()
        assert (info["version"], info["alias"]) == ("1", None)

    _run(check())
