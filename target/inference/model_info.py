"""The description of a model version, read from its ``MLmodel`` file and input example without loading the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from inference.errors import ModelRefusedError
from inference.signature import Signature, parse_signature

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a registered model, and the alias it was found by (None when it was found without one)."""

    name: str
    number: str
    alias: str | None
    run_id: str | None

    def __str__(self) -> str:
        """Return ``NAME/NUMBER``, for log lines."""
        return f"{self.name}/{self.number}"

    @property
    def uri(self) -> str:
        """MLflow's URI of this version, which does not change when an alias moves."""
        return f"models:/{self.name}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The description of a version.

    Attributes:
        version: the version.
        uuid: MLflow's unique id of the logged model.
        signature: its inputs and outputs.
        example: its input example as ``inputs`` of a request; empty when none was logged.
        flavor: MLflow's name of the training library, such as ``sklearn``; ``python_function`` for a custom model.
        predict_fn: the method that pyfunc calls, ``predict`` unless the model was logged with another one.

    """

    version: Version
    uuid: str
    signature: Signature
    example: Any
    flavor: str
    predict_fn: str


def read_model_info(version: Version, folder: Path) -> ModelInfo:
    """Read the description from a folder with the version's ``MLmodel`` file and, if it has one, its input example.

    Raises:
        ModelRefusedError: the model has no usable signature.

    """
    described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    flavors = described.get("flavors") or {}
    pyfunc = flavors.get("python_function")
    if pyfunc is None:
        raise ModelRefusedError(
            f"{version} has no python_function flavor", "log it with an MLflow flavor that includes python_function"
        )
    signature = _signature(version, described)
    return ModelInfo(
        version=version,
        uuid=str(described.get("model_uuid") or described.get("model_id") or version),
        signature=signature,
        example=_read_example(folder, described.get("saved_input_example_info"), signature),
        flavor=next((name for name in flavors if name != "python_function"), "python_function"),
        predict_fn=str(pyfunc.get("predict_fn", "predict")),
    )


def example_path(mlmodel: Path) -> str | None:
    """Return the path of the input example, relative to the ``MLmodel`` file; None when none was logged."""
    described = yaml.safe_load(mlmodel.read_text(encoding="utf-8"))
    path = (described.get("saved_input_example_info") or {}).get("artifact_path")
    return None if path is None else str(path)


def _read_example(folder: Path, how: dict[str, Any] | None, signature: Signature) -> Any:
    """Read the input example as ``inputs`` of a request, leaving out rows that do not match the signature.

    Source of the format: MLflow's ``mlflow/models/utils.py`` (``split``, ``records``; TF-serving for tensors).
    """
    if not how or not (folder / how["artifact_path"]).is_file():
        return []
    stored = json.loads((folder / how["artifact_path"]).read_text(encoding="utf-8"))
    if signature.tensors:
        return stored.get("inputs", []) if isinstance(stored, dict) else stored
    return _rows(stored, signature)


def _rows(stored: Any, signature: Signature) -> list[dict[str, Any]]:
    names = {column.name for column in signature.columns}
    if isinstance(stored, dict) and {"columns", "data"} <= stored.keys():
        stored = [dict(zip(stored["columns"], row, strict=True)) for row in stored["data"]]
    rows = [stored] if isinstance(stored, dict) else stored
    return [_without_gaps(row) for row in rows if isinstance(row, dict) and names.issuperset(row)]


def _without_gaps(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _signature(version: Version, described: dict[str, Any]) -> Signature:
    try:
        return parse_signature(described.get("signature"))
    except ModelRefusedError as refused:
        raise ModelRefusedError(f"{version}: {refused.what}", refused.hint) from refused
