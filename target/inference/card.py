"""What the registry knows of one model version, read from its ``MLmodel`` file and input example without loading it."""

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
    """One version of a registered model, and the alias that named it (None when no alias did)."""

    name: str
    number: str
    alias: str | None
    run_id: str | None

    def __str__(self) -> str:
        """``NAME/NUMBER``, as log lines show it."""
        return f"{self.name}/{self.number}"

    @property
    def uri(self) -> str:
        """MLflow's address of the version's artifacts, which no alias can move."""
        return f"models:/{self.name}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A version's description.

    Attributes:
        version: which version it is.
        uuid: MLflow's unique id of the logged model.
        signature: what it takes and gives.
        example: rows for ``{"inputs": example}``: objects for columns, lists for a tensor; empty when none was logged.
        flavor: the training library's flavour, such as ``sklearn``; ``python_function`` for a custom model.
        predict_fn: the method that pyfunc calls; anything but ``predict`` is another function than the estimator's.

    """

    version: Version
    uuid: str
    signature: Signature
    example: Any
    flavor: str
    predict_fn: str


def read_card(version: Version, folder: Path) -> Card:
    """Read the card from a folder that holds the version's ``MLmodel`` and, when it has one, its input example.

    Raises:
        ModelRefusedError: when the model has no usable signature.

    """
    described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    flavors = described.get("flavors") or {}
    pyfunc = flavors.get("python_function")
    if pyfunc is None:
        raise ModelRefusedError(
            f"{version} has no python_function flavour", "log it with an MLflow flavour that has one"
        )
    signature = _signature(version, described)
    return Card(
        version=version,
        uuid=str(described.get("model_uuid") or described.get("model_id") or version),
        signature=signature,
        example=read_example(folder, described.get("saved_input_example_info"), signature),
        flavor=next((name for name in flavors if name != "python_function"), "python_function"),
        predict_fn=str(pyfunc.get("predict_fn", "predict")),
    )


def example_path(described: dict[str, Any]) -> str | None:
    """Name the file that holds the input example, relative to the ``MLmodel`` file."""
    return (described.get("saved_input_example_info") or {}).get("artifact_path")


def read_example(folder: Path, how: dict[str, Any] | None, signature: Signature) -> Any:
    """Read the input example as ``inputs`` of a request; an example of another form than the signature's is left out.

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
