"""Decoding request bodies into model inputs, and encoding predictions into response bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from pydantic import ValidationError

from inference.schema import request_model, request_struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from inference.signature import Signature

# numpy's types for the columns of a frame; every other type is passed to the model as Python objects.
_FRAME_DTYPES: Final = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
_MOST_PROBLEMS: Final = 50
# The tag that pydantic's union adds to an error's location: the form of ``inputs`` that it tried to match.
_FORMS: Final = frozenset({"many", "one"})


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a 422 answer's ``detail``, in FastAPI's form.

    Attributes:
        loc: the path to the wrong value, from ``body`` on; empty when the problem is not in the body.
        msg: the problem in words.
        type: a short name that clients can compare.

    """

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidBodyError(Exception):
    """A body that does not match the schema; ``problems`` lists every mismatch that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Payload:
    """The rows of one request: a list of tuples for columns, one array or a dict of arrays for tensors."""

    n_rows: int
    data: Any


class Codec:
    """Decodes requests for one signature into ``n_rows`` rows of its columns, or of a tensor's other dimensions."""

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self.signature = signature
        self.model: type[BaseModel] = request_model(signature, max_rows)
        self._decoder = msgspec.json.Decoder(request_struct(signature, max_rows))
        self._names = [column.name for column in signature.columns]

    def decode(self, body: bytes) -> Payload:
        """Decode a request's body.

        Raises:
            InvalidBodyError: names every field that is wrong.

        """
        try:
            inputs = self._decoder.decode(body).inputs
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidBodyError(self._explain(body, error)) from error
        return self._tensors(inputs) if self.signature.tensors else _rows(inputs)

    def payload(self, inputs: Any) -> Payload:
        """Make a payload from a request's ``inputs`` given as Python values, such as an input example."""
        return self.decode(msgspec.json.encode({"inputs": inputs}))

    def join(self, payloads: Sequence[Payload]) -> Payload:
        """Concatenate the rows of several payloads."""
        if len(payloads) == 1:
            return payloads[0]
        n_rows = sum(payload.n_rows for payload in payloads)
        if not self.signature.tensors:
            return Payload(n_rows, [row for payload in payloads for row in payload.data])
        if isinstance(payloads[0].data, dict):
            names = payloads[0].data
            return Payload(n_rows, {name: np.concatenate([one.data[name] for one in payloads]) for name in names})
        return Payload(n_rows, np.concatenate([payload.data for payload in payloads]))

    def matrix(self, payload: Payload, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Convert an all-numeric payload to one matrix of ``n_rows`` rows."""
        return np.asarray(payload.data, dtype=dtype)

    def model_input(self, payload: Payload) -> Any:
        """Convert a payload for pyfunc: to a DataFrame with the signature's types, an array, or a dict of arrays."""
        if self.signature.tensors:
            return payload.data
        import pandas as pd  # noqa: PLC0415 - installed only where models are called through pyfunc

        columns = zip(self.signature.columns, zip(*payload.data, strict=True), strict=True)
        series = {column.name: pd.Series(values, dtype=frame_dtype(column)) for column, values in columns}
        return pd.DataFrame(series)

    def _tensors(self, inputs: Any) -> Payload:
        if self.signature.tensors[0].name is None:
            array = _array(inputs, self.signature.tensors[0].dtype, "inputs")
            return Payload(len(array), array)
        given = zip(self.signature.tensors, msgspec.structs.astuple(inputs), strict=True)
        arrays = {str(tensor.name): _array(values, tensor.dtype, f"inputs.{tensor.name}") for tensor, values in given}
        return Payload(_same_length(arrays), arrays)

    def _explain(self, body: bytes, error: Exception) -> list[Problem]:
        """List all problems with pydantic, in its words; msgspec stops at the first."""
        try:
            self.model.model_validate_json(body)
        except ValidationError as invalid:
            return problems_of(invalid.errors(include_url=False, include_input=False, include_context=False))
        return [Problem(loc=("body",), msg=str(error), type="value_error")]


def problems_of(errors: Iterable[Any]) -> list[Problem]:
    """Convert at most 50 of pydantic's errors, leaving out the input that caused them."""
    problems = []
    for found, _ in zip(errors, range(_MOST_PROBLEMS), strict=False):
        place = [part for part in found["loc"] if part != "body"]
        if place[1:2] and place[1] in _FORMS:
            place.pop(1)
        problems.append(Problem(loc=("body", *place), msg=found["msg"], type=found["type"]))
    return problems


def rejection(reason: str) -> Problem:
    """Describe rows that the model itself rejected."""
    return Problem(loc=("body", "inputs"), msg=f"the model rejects these rows: {reason}", type="model_refused")


def plain(predictions: Any) -> Any:
    """Convert predictions of any library to values that JSON can hold: a list, one entry per row."""
    if hasattr(predictions, "to_dict") and hasattr(predictions, "columns"):
        return predictions.to_dict(orient="records")
    if hasattr(predictions, "tolist"):
        return predictions.tolist()
    return predictions


def encode_predictions(predictions: Any, version: str) -> bytes:
    """Encode the body of a 200 answer; NaN becomes null, because JSON has no NaN."""
    return _encoder.encode({"predictions": predictions, "model_version": version})


def frame_dtype(column: Any) -> str:
    """Return the pandas type of a column; an optional number is a float, as MLflow's schema enforcement requires."""
    if not column.required:
        return "float64" if column.type in {"double", "float"} else "object"
    return _FRAME_DTYPES.get(column.type, "datetime64[ns]" if column.type == "datetime" else "object")


def _rows(inputs: Any) -> Payload:
    rows = inputs if isinstance(inputs, list) else [inputs]
    return Payload(len(rows), list(map(msgspec.structs.astuple, rows)))


def _array(values: Any, dtype: str, where: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(values, dtype=dtype)
    except (ValueError, OverflowError) as ragged:
        problem = Problem(loc=("body", *where.split(".")), msg=str(ragged), type="tensor")
        raise InvalidBodyError([problem]) from ragged


def _same_length(arrays: dict[str, np.ndarray[Any, Any]]) -> int:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        message = f"all tensors must have the same number of rows: {found}"
        raise InvalidBodyError([Problem(loc=("body", "inputs"), msg=message, type="tensor")])
    return next(iter(lengths.values()))


def _to_plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise NotImplementedError(f"predictions contain a {type(value).__name__}, which cannot be encoded as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_to_plain)
