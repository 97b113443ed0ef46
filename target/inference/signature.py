"""A model's signature, read from the registry into records of our own, so that no training library is needed.

Source of the format: MLflow's ``MLmodel`` file, whose ``signature`` holds JSON lists of column specs
(``{"type", "name", "required"}``, with nested ``items``, ``properties`` and ``values``) or of tensor specs
(``{"type": "tensor", "name", "tensor-spec": {"dtype", "shape"}}``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from inference.errors import ModelRefusedError

NUMERIC_TYPES: Final = frozenset({"integer", "long", "float", "double"})
SCALAR_TYPES: Final = NUMERIC_TYPES | {"boolean", "string", "binary", "datetime"}
_NESTED_TYPES: Final = frozenset({"array", "object", "map", "any"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table, or one property or element of a nested value (there the name may be empty).

    Attributes:
        name: the column's name.
        type: MLflow's name of the type: a scalar type, ``array``, ``object``, ``map`` or ``any``.
        required: whether every row must have it.
        parts: the element of an array, the properties of an object, or the values of a map.

    """

    name: str
    type: str
    required: bool = True
    parts: tuple[Column, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor: numpy's name of its element type, and its shape, in which -1 stands for any length."""

    name: str | None
    dtype: str
    shape: tuple[int, ...]


Spec = Column | Tensor


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A model's inputs and outputs. Exactly one of ``columns`` and ``tensors`` is filled; outputs are informative."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    outputs: tuple[Spec, ...] = ()

    @property
    def all_numeric(self) -> bool:
        """Whether all columns are required numbers, so that a batch is one matrix."""
        return bool(self.columns) and all(c.required and c.type in NUMERIC_TYPES for c in self.columns)


def parse_signature(stored: dict[str, Any] | None) -> Signature:
    """Parse the ``signature`` entry of an ``MLmodel`` file.

    Raises:
        ModelRefusedError: there is no signature, or a request could not name its inputs.

    """
    if not stored or not stored.get("inputs"):
        raise ModelRefusedError(
            "the model has no signature to validate requests with",
            "log it again with signature=mlflow.models.infer_signature(inputs, predictions)",
        )
    inputs = _specs(stored["inputs"])
    outputs = _specs(stored.get("outputs") or "[]")
    columns = tuple(spec for spec in inputs if isinstance(spec, Column))
    tensors = tuple(spec for spec in inputs if isinstance(spec, Tensor))
    _refuse_unnamed(columns, tensors)
    return Signature(columns=columns, tensors=tensors, outputs=outputs)


def _refuse_unnamed(columns: tuple[Column, ...], tensors: tuple[Tensor, ...]) -> None:
    unnamed_tensors = len(tensors) > 1 and any(tensor.name is None for tensor in tensors)
    names = [column.name for column in columns]
    if (columns and tensors) or unnamed_tensors or "" in names or len(set(names)) < len(names):
        raise ModelRefusedError(
            f"the model's signature has inputs without names, or with equal names ({names or tensors})",
            "log it again with an example that is a pandas DataFrame with named columns",
        )


def _specs(text: str) -> tuple[Spec, ...]:
    return tuple(_spec(entry) for entry in json.loads(text))


def _spec(entry: dict[str, Any]) -> Spec:
    if entry["type"] == "tensor":
        inner = entry["tensor-spec"]
        return Tensor(name=entry.get("name"), dtype=inner["dtype"], shape=tuple(inner["shape"]))
    return _column(entry, str(entry.get("name", "")))


def _column(entry: dict[str, Any], name: str) -> Column:
    kind = str(entry["type"])
    if kind not in SCALAR_TYPES | _NESTED_TYPES:
        kind = "any"  # types that a later MLflow adds are accepted without validation
    return Column(name=name, type=kind, required=bool(entry.get("required", True)), parts=_parts(entry))


def _parts(entry: dict[str, Any]) -> tuple[Column, ...]:
    if entry["type"] == "object":
        return tuple(_column(part, name) for name, part in entry["properties"].items())
    inner = entry.get("items") or entry.get("values")
    return (_column(inner, ""),) if inner else ()
