"""From the bytes of a request to what a model takes, and from what it gives to the bytes of an answer."""

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

# numpy's types for the columns of a frame; everything else is handed over as Python objects.
_FRAME_DTYPES: Final = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
_MOST_PROBLEMS: Final = 50
# What pydantic's union adds to an error's place: which of the two forms it took the inputs for.
_FORMS: Final = frozenset({"many", "one"})


class InvalidBodyError(Exception):
    """A body that is not what the schema says; ``problems`` lists them as FastAPI's 422 answers do."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Payload:
    """The rows of one request: a list of tuples for columns, one array or a dict of arrays for tensors."""

    n: int
    data: Any


class Codec:
    """Reads requests for one signature: ``n`` rows by its columns, or by the tensor's other dimensions."""

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self.signature = signature
        self.model: type[BaseModel] = request_model(signature, max_rows)
        self._decoder = msgspec.json.Decoder(request_struct(signature, max_rows))
        self._names = [column.name for column in signature.columns]

    def decode(self, body: bytes) -> Payload:
        """Read a request's body.

        Raises:
            InvalidBodyError: naming every field that is wrong.

        """
        try:
            inputs = self._decoder.decode(body).inputs
        except (msgspec.DecodeError, RecursionError) as problem:
            raise InvalidBodyError(self._explain(body, problem)) from problem
        return self._tensors(inputs) if self.signature.tensors else _rows(inputs)

    def payload(self, inputs: Any) -> Payload:
        """Make a payload from ``inputs`` of a request that is at hand as Python values, such as an input example."""
        return self.decode(msgspec.json.encode({"inputs": inputs}))

    def join(self, payloads: Sequence[Payload]) -> Payload:
        """Put the rows of several payloads behind each other."""
        if len(payloads) == 1:
            return payloads[0]
        n = sum(payload.n for payload in payloads)
        if not self.signature.tensors:
            return Payload(n, [row for payload in payloads for row in payload.data])
        if isinstance(payloads[0].data, dict):
            names = payloads[0].data
            return Payload(n, {name: np.concatenate([one.data[name] for one in payloads]) for name in names})
        return Payload(n, np.concatenate([payload.data for payload in payloads]))

    def matrix(self, payload: Payload, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Give an all-numeric payload as one matrix of ``n`` rows."""
        return np.asarray(payload.data, dtype=dtype)

    def model_input(self, payload: Payload) -> Any:
        """Give what pyfunc takes: a DataFrame with the signature's types, an array, or a dict of arrays."""
        if self.signature.tensors:
            return payload.data
        import pandas as pd  # noqa: PLC0415 - only the modes that call pyfunc have pandas

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

    def _explain(self, body: bytes, problem: Exception) -> list[dict[str, Any]]:
        """Word the problem as pydantic does, which finds all of them; msgspec stops at the first."""
        try:
            self.model.model_validate_json(body)
        except ValidationError as invalid:
            return problems_of(invalid.errors(include_url=False, include_input=False, include_context=False))
        return [{"loc": ["body"], "msg": str(problem), "type": "value_error"}]


def problems_of(errors: Iterable[Any]) -> list[dict[str, Any]]:
    """Give pydantic's errors in FastAPI's form (``loc``, ``msg``, ``type``), without the input, at most 50 of them."""
    problems = []
    for found, _ in zip(errors, range(_MOST_PROBLEMS), strict=False):
        place = [part for part in found["loc"] if part != "body"]
        if place[1:2] and place[1] in _FORMS:
            place.pop(1)
        problems.append({"loc": ["body", *place], "msg": found["msg"], "type": found["type"]})
    return problems


def plain(predictions: Any) -> Any:
    """Give predictions as values that JSON can hold, whatever the model's library gave: a list, one entry per row."""
    if hasattr(predictions, "to_dict") and hasattr(predictions, "columns"):
        return predictions.to_dict(orient="records")
    if hasattr(predictions, "tolist"):
        return predictions.tolist()
    return predictions


def encode_predictions(predictions: Any, version: str) -> bytes:
    """Make the body of an answer; not-a-number becomes null, which JSON has."""
    return _encoder.encode({"predictions": predictions, "model_version": version})


def frame_dtype(column: Any) -> str:
    """Name the pandas type of a column; a nullable number is a float, as MLflow's schema enforcement asks."""
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
        raise InvalidBodyError([{"loc": ["body", *where.split(".")], "msg": str(ragged), "type": "tensor"}]) from ragged


def _same_length(arrays: dict[str, np.ndarray[Any, Any]]) -> int:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        message = f"all tensors must have as many rows: {found}"
        raise InvalidBodyError([{"loc": ["body", "inputs"], "msg": message, "type": "tensor"}])
    return next(iter(lengths.values()))


def _to_plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise NotImplementedError(f"predictions hold a {type(value).__name__}, which JSON cannot show")


_encoder = msgspec.json.Encoder(enc_hook=_to_plain)
