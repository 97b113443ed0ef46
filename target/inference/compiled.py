"""The compiled model: an ONNX graph, and a check that it agrees with the registry's model. Needs no training library.

A compiled folder holds ``model.onnx`` and ``parity.json``: rows, and the registry model's predictions of them from when
it was compiled. The target predicts these rows again when it loads the graph, and compares the predictions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.errors import NotCompilableError, RowsRefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from inference.codec import Codec, Payload
    from inference.model_info import ModelInfo

GRAPH: Final = "model.onnx"
PARITY: Final = "parity.json"
FORMAT: Final = 1

# A forest's float32 sums differ from float64 sums by at most 1.4e-6 of the value (442 rows, 100 trees), while a branch
# taken differently changes it by 1e-3 or more. The absolute tolerance is the same share of the largest prediction.
REL_TOLERANCE: Final = 1e-5
# ONNX Runtime's tree kernel takes 2.5 us per row up to 64 rows, and 7 us at 256 (measured: one thread, 100 trees).
_CHUNK_ROWS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The registry model's predictions from when the graph was made.

    Attributes:
        uuid: the logged model's unique id, so that a graph is never served for another model.
        dtype: numpy's name of the graph's input type.
        rows: n rows of the signature's columns.
        expected: n predictions of the registry's model.
        versions: versions of the libraries that made the graph.

    """

    uuid: str
    dtype: str
    rows: list[list[float]]
    expected: list[Any]
    versions: dict[str, str]
    format: int = FORMAT


class OnnxPredictor:
    """An ONNX graph with one input matrix; ONNX Runtime runs it in the calling thread."""

    def __init__(self, graph: bytes, dtype: str, codec: Codec) -> None:
        import onnxruntime  # noqa: PLC0415 - loaded in compiled mode only

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena never frees the memory of the largest batch
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = [self._session.get_outputs()[0].name]
        self._dtype = np.dtype(dtype)
        self._codec = codec

    def predict(self, payload: Payload) -> list[Any]:
        """Predict n rows.

        Raises:
            RowsRefusedError: a value exceeds the graph's number type; the registry's model rejects it as well.

        """
        with np.errstate(over="ignore"):
            matrix = self._codec.matrix(payload, self._dtype)
        if not np.isfinite(matrix).all():
            raise RowsRefusedError(f"a value is too large for {self._dtype}")
        return self.predict_matrix(matrix)

    def predict_matrix(self, matrix: np.ndarray[Any, Any]) -> list[Any]:
        """Predict n rows that already have the graph's number type."""
        if len(matrix) <= _CHUNK_ROWS:
            return _per_row(self._session.run(self._output, {self._input: matrix})[0])
        chunks = range(0, len(matrix), _CHUNK_ROWS)
        return [one for start in chunks for one in self.predict_matrix(matrix[start : start + _CHUNK_ROWS])]


def load_compiled(folder: Path, model_info: ModelInfo, codec: Codec) -> OnnxPredictor:
    """Load a compiled folder, and check its predictions of the parity rows.

    Raises:
        NotCompilableError: the graph is unreadable, of another model or format, or disagrees with the registry's model.

    """
    try:
        parity = Parity(**json.loads((folder / PARITY).read_text(encoding="utf-8")))
        predictor = OnnxPredictor((folder / GRAPH).read_bytes(), parity.dtype, codec)
    except Exception as error:
        raise NotCompilableError(f"the ONNX graph cannot be loaded ({type(error).__name__}: {error})") from error
    if (parity.format, parity.uuid) != (FORMAT, model_info.uuid):
        raise NotCompilableError(
            f"the ONNX graph is of model {parity.uuid} in format {parity.format}, not of {model_info.uuid} in {FORMAT}"
        )
    check_parity(predictor, parity)
    return predictor


def store_compiled(folder: Path, graph: bytes, parity: Parity) -> None:
    """Write a compiled folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(graph)
    (folder / PARITY).write_text(json.dumps(asdict(parity)), encoding="utf-8")


def check_parity(predictor: OnnxPredictor, parity: Parity) -> None:
    """Compare the graph's predictions of the parity rows with the registry model's.

    Raises:
        NotCompilableError: names the first pair of predictions that differ.

    """
    given = predictor.predict_matrix(np.asarray(parity.rows, dtype=parity.dtype))
    for number, agrees in enumerate(_agreement(given, parity.expected)):
        if not agrees:
            found, expected = given[number], parity.expected[number]
            raise NotCompilableError(f"the ONNX graph predicts {found} where the registry's model predicts {expected}")


def _agreement(given: list[Any], expected: list[Any]) -> list[bool]:
    """Compare row by row: numbers must agree within the tolerance, everything else exactly."""
    ours, theirs = np.asarray(given), np.asarray(expected)
    if ours.shape != theirs.shape:
        return [False]
    if ours.dtype.kind not in "fiu" or theirs.dtype.kind not in "fiu":
        return list(map(bool, (ours == theirs).reshape(len(ours), -1).all(axis=1)))
    scale = float(np.abs(theirs).max(initial=0.0))
    close = np.isclose(ours, theirs, rtol=REL_TOLERANCE, atol=REL_TOLERANCE * scale, equal_nan=True)
    return list(map(bool, close.reshape(len(ours), -1).all(axis=1)))


def _per_row(output: Any) -> list[Any]:
    """Return one value per row, without the second dimension of one that ONNX's regressors add."""
    if output.ndim == 2 and output.shape[1] == 1:  # noqa: PLR2004 - rows by one value
        output = output[:, 0]
    predictions: list[Any] = output.tolist()
    return predictions
