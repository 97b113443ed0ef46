"""Models of every kind that a registry holds, served as they are and compared with MLflow's own pyfunc."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import PythonModel
from mlflow.types import Schema, TensorSpec
from target_helpers import in_process, loaded, log_model

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pd.DataFrame(
    {
        "weight": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5],
        "count": pd.Series([1, 2, 3, 4, 5, 6, 7, 8], dtype="int64"),
        "flag": pd.Series([0, 1, 0, 1, 0, 1, 0, 1], dtype="int32"),
    }
)
TARGET = [1.0, 2.0, 3.5, 4.0, 5.5, 6.0, 7.5, 8.0]


@pytest.fixture(scope="module")
def flavors(trained: Path, tmp_path_factory: Any):
    """A registry of this module's own, which its tests add models to."""
    folder = tmp_path_factory.mktemp("flavors")
    shutil.copyfile(trained / "mlflow.db", folder / "mlflow.db")
    return folder


def _serve(folder: Path, name: str, inputs: Any, mode: str = "auto"):
    """Return ``/info`` and the predictions for one request."""

    async def ask():
        async with in_process(folder, MODEL_URI=f"models:/{name}@champion", TARGET_MODE=mode) as client:
            answer = await client.post("/predict", json={"inputs": inputs})
            return (await client.get("/info")).json(), answer

    info, answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    return info, answer.json()["predictions"]


def test_a_scikit_learn_model_without_a_stored_graph_is_compiled_by_a_child_process(flavors: Any):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(ROWS, TARGET)
    how = {"signature": infer_signature(ROWS, model.predict(ROWS)), "input_example": ROWS}
    log_model(flavors, "sklearn", model, name="linear", serialization_format="cloudpickle", **how)
    info, predictions = _serve(flavors, "linear", ROWS.to_dict(orient="records"))
    assert (info["mode"], info["mode_why"]) == (
        "compiled",
        "its graph, compiled here, agrees with the registry's model",
    )
    assert predictions == pytest.approx(loaded(flavors, "models:/linear@champion").predict(ROWS).tolist(), rel=1e-9)


def test_a_pipeline_with_text_columns_and_class_names_is_served_batched(flavors: Any):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame({"colour": pd.Series(["red", "blue"] * 4, dtype="object"), "size": [1.0, 2.0] * 4})
    one_hot = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(one_hot, LogisticRegression()).fit(rows, ["warm", "cold"] * 4)
    how = {"signature": infer_signature(rows, model.predict(rows)), "input_example": rows}
    log_model(flavors, "sklearn", model, name="colours", serialization_format="cloudpickle", **how)
    info, predictions = _serve(flavors, "colours", rows.to_dict(orient="records"))
    assert info["mode"] == "batched"
    assert "required numbers" in info["mode_why"]
    assert predictions == ["warm", "cold"] * 4


def test_an_xgboost_model_is_served_batched_and_info_says_why(flavors: Any):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=5).fit(ROWS, TARGET)
    log_model(flavors, "xgboost", model, name="xgb", signature=infer_signature(ROWS, TARGET), input_example=ROWS)
    info, predictions = _serve(flavors, "xgb", ROWS.to_dict(orient="records"))
    assert info["mode"] == "batched"
    assert "xgboost" in info["mode_why"]
    assert predictions == pytest.approx(loaded(flavors, "models:/xgb@champion").predict(ROWS).tolist())


@pytest.mark.parametrize("mode", ["naive", "batched"])
def test_a_lightgbm_model_is_served_in_both_pyfunc_modes(flavors: Any, mode: str):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(ROWS, TARGET)
    log_model(flavors, "lightgbm", model, name="lgbm", signature=infer_signature(ROWS, TARGET))
    _, predictions = _serve(flavors, "lgbm", ROWS.to_dict(orient="records"), mode)
    assert predictions == pytest.approx(loaded(flavors, "models:/lgbm@champion").predict(ROWS).tolist())


class Describe(PythonModel):  # type: ignore[misc]
    """A custom model that returns a table, and fails for the weight 13."""

    def predict(self, context, model_input, params=None):
        if (model_input["weight"] == 13).any():
            raise ZeroDivisionError("thirteen")
        return pd.DataFrame({"double": model_input["weight"] * 2, "kind": model_input["count"].astype(str)})


@pytest.mark.parametrize("mode", ["naive", "auto"])
def test_a_custom_pyfunc_gives_its_table_row_by_row(flavors: Any, mode: str):
    log_model(flavors, "pyfunc", Describe(), name="custom", signature=infer_signature(ROWS))
    _, predictions = _serve(flavors, "custom", ROWS.to_dict(orient="records")[:2], mode)
    assert predictions == [{"double": 1.0, "kind": "1"}, {"double": 3.0, "kind": "2"}]


@pytest.mark.parametrize("mode", ["naive", "auto"])
def test_a_row_that_breaks_a_custom_model_gets_500_and_the_others_their_predictions(flavors: Any, mode: str):
    log_model(flavors, "pyfunc", Describe(), name="fragile", signature=infer_signature(ROWS))
    rows = [{"weight": weight, "count": 1, "flag": 0} for weight in (1, 13, 3, 4)]

    async def ask():
        async with in_process(flavors, MODEL_URI="models:/fragile@champion", TARGET_MODE=mode) as client:
            return await asyncio.gather(*(client.post("/predict", json={"inputs": row}) for row in rows))

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
    assert "thirteen" not in answers[1].text


def test_a_model_with_one_tensor_accepts_lists_and_is_compiled(flavors: Any):
    from sklearn.ensemble import RandomForestClassifier

    array = ROWS.to_numpy(dtype="float64")
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(array, [0, 1] * 4)
    how = {"signature": infer_signature(array, model.predict(array)), "input_example": array}
    log_model(flavors, "sklearn", model, name="tensor", serialization_format="cloudpickle", **how)
    info, predictions = _serve(flavors, "tensor", array.tolist())
    assert info["mode"] == "compiled", info["mode_why"]
    assert info["signature"]["inputs"] == [
        {"name": None, "type": "tensor", "dtype": "float64", "shape": [-1, 3], "required": True}
    ]
    assert info["input_example"] == array.tolist()
    assert predictions == model.predict(array).tolist()


class Add(PythonModel):  # type: ignore[misc]
    """A custom model of two named tensors."""

    def predict(self, context, model_input, params=None):
        return model_input["a"].sum(axis=1) + model_input["b"]


@pytest.mark.parametrize("mode", ["naive", "auto"])
def test_a_model_with_named_tensors_accepts_them_by_name(flavors: Any, mode: str):
    inputs = Schema([TensorSpec(np.dtype("float64"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "b")])
    log_model(flavors, "pyfunc", Add(), name="named", signature=ModelSignature(inputs=inputs))
    _, predictions = _serve(flavors, "named", {"a": [[1, 2], [3, 4]], "b": [10, 20]}, mode)
    assert predictions == [13, 27]


def test_a_graph_of_another_model_or_with_other_predictions_is_not_served(flavors: Any, tmp_path: Path):
    import json

    from target_helpers import registry_of

    from inference.codec import Codec
    from inference.compiled import PARITY, load_compiled
    from inference.compiling import compile_version
    from inference.errors import NotCompilableError
    from inference.model_info import Version

    version = Version(name="diabetes", number="1", alias=None, run_id=None)
    model_info = compile_version(version, registry_of(flavors), tmp_path)
    codec = Codec(model_info.signature, 100)
    right = json.loads((tmp_path / PARITY).read_text())
    assert load_compiled(tmp_path, model_info, codec)
    for wrong in (
        {**right, "uuid": "another"},
        {**right, "format": 99},
        {**right, "expected": [value * 1.001 for value in right["expected"]]},
        {**right, "expected": right["expected"][:-1]},
        {**right, "unknown": 1},
    ):
        (tmp_path / PARITY).write_text(json.dumps(wrong))
        with pytest.raises(NotCompilableError):
            load_compiled(tmp_path, model_info, codec)


def test_a_stored_graph_that_disagrees_makes_the_target_serve_batched_and_say_so(registry_folder: Path):
    import json

    from target_helpers import registry_of

    from inference.compiled import PARITY
    from inference.compiling import folder_name
    from inference.settings import parse_model_uri

    registry = registry_of(registry_folder)
    version = registry.resolve(parse_model_uri("models:/diabetes@champion"))
    scratch = registry_folder / "scratch"
    scratch.mkdir()
    stored = registry.fetch_run_folder(version, folder_name(registry.fetch_model_info(version, scratch)), scratch)
    kept = (stored / PARITY).read_text()
    changed = json.loads(kept)
    changed["expected"][3] += 1
    (stored / PARITY).write_text(json.dumps(changed))
    registry.store_run_folder(version, f"compiled/{changed['uuid']}", stored)
    try:
        info, _ = _serve(registry_folder, "diabetes", _example(registry_folder))
        assert info["mode"] == "batched"
        assert "where the registry's model predicts" in info["mode_why"]
    finally:
        (stored / PARITY).write_text(kept)
        registry.store_run_folder(version, f"compiled/{changed['uuid']}", stored)


def _example(folder: Path):
    from target_helpers import registry_of

    from inference.settings import parse_model_uri

    registry = registry_of(folder)
    version = registry.resolve(parse_model_uri("models:/diabetes@champion"))
    return registry.fetch_model_info(version, folder).example
