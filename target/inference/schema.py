"""The typed request schema of a model, built twice from its signature.

msgspec decodes requests on the fast path (0.3 us per row); pydantic documents the schema in OpenAPI, lists the problems
of invalid bodies, and validates in ``naive`` mode. Both accept the same bodies: ``{"inputs": {column: value}}`` for one
row, ``{"inputs": [{...}, ...]}`` for many, and for tensor signatures ``{"inputs": [[...], ...]}`` or, when the tensors
have names, ``{"inputs": {name: [[...], ...]}}``.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

import msgspec
import numpy as np
from pydantic import Base64Bytes, BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, create_model

if TYPE_CHECKING:
    from inference.signature import Column, Signature, Tensor

_FORBID: Final = ConfigDict(extra="forbid", protected_namespaces=(), validate_by_name=False, validate_by_alias=True)
# Bounds of MLflow's "integer", "long" and "float": 32-bit and 64-bit whole numbers, IEEE 754 single precision.
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_FLOAT32_MAX: Final = 3.4028234663852886e38
_BOUNDS: Final = {"integer": _INT32, "long": _INT64, "float": (-_FLOAT32_MAX, _FLOAT32_MAX)}
_PLAIN: Final[dict[str, type]] = {
    "double": float,
    "boolean": bool,
    "string": str,
    "float": float,
    "integer": int,
    "long": int,
}


def request_struct(signature: Signature, max_rows: int) -> Any:
    """Make the msgspec type of the whole body; it decodes rows to structs in the signature's order."""
    if signature.tensors:
        return msgspec.defstruct(
            "Request", [("inputs", _tensor_struct(signature, max_rows))], forbid_unknown_fields=True
        )
    row = _struct("Row", signature.columns)
    many = Annotated[list[row], msgspec.Meta(min_length=1, max_length=max_rows)]  # type: ignore[valid-type]
    return msgspec.defstruct("Request", [("inputs", many | row)], forbid_unknown_fields=True)


def request_model(signature: Signature, max_rows: int) -> type[BaseModel]:
    """Make the pydantic model of the whole body, named ``PredictRequest`` in OpenAPI."""
    inputs = _tensor_model(signature, max_rows) if signature.tensors else _rows_model(signature, max_rows)
    made: type[BaseModel] = create_model("PredictRequest", __config__=_FORBID, inputs=(inputs, ...))
    return made


class PredictResponse(BaseModel):
    """The predictions, one per row in the order of the rows, and the version that made them."""

    model_config = ConfigDict(protected_namespaces=())

    predictions: list[Any]
    model_version: str


def _struct(name: str, columns: tuple[Column, ...]) -> Any:
    fields = [_struct_field(index, column) for index, column in enumerate(columns)]
    rename = {f"f{index}": column.name for index, column in enumerate(columns)}
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False)


def _struct_field(index: int, column: Column) -> Any:
    kind = _struct_type(column)
    return (f"f{index}", kind) if column.required else (f"f{index}", kind | None, None)


def _struct_type(column: Column) -> Any:
    if column.type in _BOUNDS:
        low, high = _BOUNDS[column.type]
        return Annotated[_PLAIN[column.type], msgspec.Meta(ge=low, le=high)]
    if column.type == "object":
        fields = {
            part.name: _struct_type(part) if part.required else _struct_type(part) | None for part in column.parts
        }
        return TypedDict(column.name or "Object", fields, total=False)  # type: ignore[operator]
    return _shared_type(column, _struct_type, bytes)


def _shared_type(column: Column, inner: Any, binary: Any) -> Any:
    if column.type == "array":
        return list[inner(column.parts[0])] if column.parts else list[Any]  # type: ignore[misc]
    if column.type == "map":
        return dict[str, inner(column.parts[0])] if column.parts else dict[str, Any]  # type: ignore[misc]
    return {"binary": binary, "datetime": dt.datetime, **_PLAIN}.get(column.type, Any)


def _rows_model(signature: Signature, max_rows: int) -> Any:
    row = _model("Row", signature.columns)
    many = Annotated[list[row], Field(min_length=1, max_length=max_rows), Tag("many")]  # type: ignore[valid-type]
    return Annotated[many | Annotated[row, Tag("one")], Discriminator(_one_or_many)]


def _one_or_many(inputs: Any) -> str:
    return "many" if isinstance(inputs, list) else "one"


def _model(name: str, columns: tuple[Column, ...]) -> Any:
    fields: dict[str, Any] = {f"f{index}": _model_field(column) for index, column in enumerate(columns)}
    return create_model(name, __config__=_FORBID, **fields)


def _model_field(column: Column) -> Any:
    kind = _model_type(column)
    if column.required:
        return (kind, Field(alias=column.name))
    return (kind | None, Field(default=None, alias=column.name))


def _model_type(column: Column) -> Any:
    if column.type == "object":
        return _model(column.name or "Object", column.parts)
    kind = _shared_type(column, _model_type, Base64Bytes)
    if column.type in _BOUNDS:
        low, high = _BOUNDS[column.type]
        return Annotated[kind, Strict(), Field(ge=low, le=high, **_finite(kind))]
    return Annotated[kind, Strict(), Field(**_finite(kind))] if kind in _PLAIN.values() else kind


def _finite(kind: Any) -> dict[str, Any]:
    return {"allow_inf_nan": False} if kind is float else {}


def _tensor_struct(signature: Signature, max_rows: int) -> Any:
    def array(inner: Any, low: int | None, high: int | None) -> Any:
        return Annotated[list[inner], msgspec.Meta(min_length=low, max_length=high)]

    kinds = {
        tensor.name: _nested(_element(tensor, msgspec.Meta), tensor.shape, max_rows, array)
        for tensor in signature.tensors
    }
    if None in kinds:
        return kinds[None]
    named = _struct_fields(kinds)
    return msgspec.defstruct("Tensors", named, rename=_renames(kinds), kw_only=True, forbid_unknown_fields=True)


def _tensor_model(signature: Signature, max_rows: int) -> Any:
    def array(inner: Any, low: int | None, high: int | None) -> Any:
        return Annotated[list[inner], Field(min_length=low, max_length=high)]

    kinds = {
        tensor.name: _nested(_element(tensor, Field), tensor.shape, max_rows, array) for tensor in signature.tensors
    }
    if None in kinds:
        return kinds[None]
    fields: dict[str, Any] = {f"f{i}": (kind, Field(alias=name)) for i, (name, kind) in enumerate(kinds.items())}
    return create_model("Tensors", __config__=_FORBID, **fields)


def _struct_fields(kinds: dict[str | None, Any]) -> list[tuple[str, Any]]:
    return [(f"f{index}", kind) for index, kind in enumerate(kinds.values())]


def _renames(kinds: dict[str | None, Any]) -> dict[str, str]:
    return {f"f{index}": str(name) for index, name in enumerate(kinds)}


def _nested(element: Any, shape: tuple[int, ...], max_rows: int, array: Any) -> Any:
    """Wrap the element in one list per dimension; a first dimension of any length has up to ``max_rows`` entries."""
    kind = element
    for depth, length in reversed(list(enumerate(shape))):
        free = (1, max_rows) if depth == 0 else (None, None)
        low, high = free if length < 0 else (length, length)
        kind = array(kind, low, high)
    return kind


def _element(tensor: Tensor, bound: Any) -> Any:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        finite = {"allow_inf_nan": False} if bound is Field else {}
        limit = float(np.finfo(dtype).max)
        return Annotated[float, *_strict(bound), bound(ge=-limit, le=limit, **finite)]
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), _INT64[1])
        return Annotated[int, *_strict(bound), bound(ge=low, le=high)]
    return {"b": bool, "U": str, "S": str}.get(dtype.kind, Any)


def _strict(bound: Any) -> tuple[Any, ...]:
    return (Strict(),) if bound is Field else ()
