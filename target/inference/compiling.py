"""Compiling a registry model into a graph. This needs the training libraries, so it runs in a process of its own.

The serving process receives only the graph and its parity rows, and never loads scikit-learn or pandas.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.codec import Codec
from inference.compiled import OnnxPredictor, Parity, check_parity, load_compiled, store_compiled
from inference.errors import NotCompilableError
from inference.pyfunc import PyfuncPredictor, load_pyfunc
from inference.registry import Registry

if TYPE_CHECKING:
    from inference.model_info import ModelInfo, Version
    from inference.settings import Settings

_LIBRARIES: Final = ("onnxruntime", "scikit-learn", "skl2onnx")
# Random rows that the parity check adds to the example's, with values between and around those of the example.
_RANDOM_ROWS: Final = 256
_MAX_ROWS: Final = 100_000
_TIMEOUT_S: Final = 300
# Estimators that compare their inputs as float32 (scikit-learn's sklearn/tree/_classes.py, DTYPE); others get float64.
_FLOAT32_MODULES: Final = ("sklearn.tree", "sklearn.ensemble._forest", "sklearn.ensemble._gb")


def folder_name(model_info: ModelInfo) -> str:
    """Return the folder, among the artifacts of the model's run, that holds its graph."""
    return f"compiled/{model_info.uuid}"


def obtain_compiled(model_info: ModelInfo, codec: Codec, registry: Registry, folder: Path) -> tuple[OnnxPredictor, str]:
    """Get a version's graph from the registry, or compile it in a child process; also return which it was.

    Raises:
        NotCompilableError: no graph agrees with the registry's model.
        RegistryAwayError: the registry is unavailable.

    """
    stored = registry.fetch_run_folder(model_info.version, folder_name(model_info), folder)
    if stored is not None:
        return load_compiled(stored, model_info, codec), "its graph from the registry agrees with the registry's model"
    require_compilable(model_info)
    _compile_in_child(model_info.version, registry, folder / "made")
    return load_compiled(
        folder / "made", model_info, codec
    ), "its graph, compiled here, agrees with the registry's model"


def require_compilable(model_info: ModelInfo) -> None:
    """Reject models that are known not to convert, before anything is downloaded.

    Raises:
        NotCompilableError: the message is the reason that ``/info`` shows.

    """
    reasons = {
        f"only scikit-learn models can be compiled, and this is a {model_info.flavor} model": model_info.flavor
        != "sklearn",
        f"pyfunc calls {model_info.predict_fn}, not predict": model_info.predict_fn != "predict",
        "its inputs are not one table or matrix of required numbers": not _one_matrix(model_info),
        "it was logged without an input example to check the graph with": not model_info.example,
        "skl2onnx and scikit-learn are not installed here": find_spec("skl2onnx") is None
        or find_spec("sklearn") is None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotCompilableError(reason)


def compile_command(settings: Settings, into: Path | None) -> int:
    """Compile the model that MODEL_URI names into a folder, or store the graph in the registry and print one line.

    Raises:
        TargetError: the model cannot be compiled, or the registry is unavailable.

    """
    registry = Registry(settings.tracking_uri)
    resolved = registry.resolve(settings.model_uri)
    if into is not None:
        os.nice(10)  # the parent is serving requests or about to, and needs the CPU more
        compile_version(resolved, registry, into)
        return 0
    store_beside_model(resolved, registry)
    sys.stdout.write(f"compiled {resolved} and stored its graph in the registry\n")
    return 0


def store_beside_model(resolved: Version, registry: Registry) -> None:
    """Compile a version and upload its graph to the artifacts of its run.

    Raises:
        NotCompilableError: no graph agrees with the model.
        RegistryAwayError: the registry is unavailable.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        model_info = compile_version(resolved, registry, Path(scratch) / "compiled")
        registry.store_run_folder(resolved, folder_name(model_info), Path(scratch) / "compiled")


def compile_version(resolved: Version, registry: Registry, into: Path) -> ModelInfo:
    """Compile a version into a folder, and return its description.

    Raises:
        NotCompilableError: no graph agrees with the model.
        RegistryAwayError: the registry is unavailable.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        model_info = registry.fetch_model_info(resolved, Path(scratch))
        require_compilable(model_info)
        path = registry.fetch_model(resolved, Path(scratch) / "model")
        graph, parity = _first_that_agrees(model_info, path)
    store_compiled(into, graph, parity)
    return model_info


def parity_rows(codec: Codec, example: Any) -> list[list[float]]:
    """Return the example's rows and 256 random ones, whose values exceed the example's range by up to half of it."""
    known = codec.matrix(codec.payload(example), np.dtype("float64"))
    low, high = known.min(axis=0), known.max(axis=0)
    random = np.random.default_rng(0)
    reach = (high - low) / 2
    added = random.uniform(low - reach, high + reach, (_RANDOM_ROWS, known.shape[1]))
    whole = [column.type in {"integer", "long"} for column in codec.signature.columns] or [False] * known.shape[1]
    added[:, whole] = np.round(added[:, whole])
    rows: list[list[float]] = np.concatenate([known, added]).tolist()
    return rows


def _one_matrix(model_info: ModelInfo) -> bool:
    signature = model_info.signature
    if signature.tensors:
        only = signature.tensors[0]
        return len(signature.tensors) == 1 and only.name is None and len(only.shape) == 2 and "float" in only.dtype  # noqa: PLR2004
    return signature.all_numeric


def _compile_in_child(resolved: Version, registry: Registry, into: Path) -> None:
    """Convert in a child process, so that its libraries and memory are freed when it exits."""
    command = [sys.executable, "-P", "-m", "inference", "compile", "--into", str(into)]
    package = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "MODEL_URI": resolved.uri, "MLFLOW_TRACKING_URI": registry.uri, "PYTHONPATH": paths}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as slow:
        raise NotCompilableError(f"the conversion took longer than {_TIMEOUT_S} s") from slow
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"the conversion ended with exit code {done.returncode}"]
        raise NotCompilableError(lines[-1])


def _first_that_agrees(model_info: ModelInfo, path: Path) -> tuple[bytes, Parity]:
    """Try each number type that suits the estimator, and return the first graph that passes the parity check."""
    import mlflow.sklearn  # noqa: PLC0415

    estimator = mlflow.sklearn.load_model(str(path))
    codec = Codec(model_info.signature, _MAX_ROWS)
    rows = parity_rows(codec, model_info.example)
    registered = PyfuncPredictor(load_pyfunc(path, str(model_info.version)), codec)
    expected = registered.predict(_payload(codec, rows))
    reasons = []
    for dtype in _dtypes(estimator):
        parity = Parity(uuid=model_info.uuid, dtype=dtype, rows=rows, expected=expected, versions=_versions())
        try:
            return _agreeing_graph(estimator, parity, codec), parity
        except NotCompilableError as error:
            reasons.append(f"{dtype}: {error.what}")
    raise NotCompilableError("; ".join(reasons))


def _agreeing_graph(estimator: Any, parity: Parity, codec: Codec) -> bytes:
    try:
        graph = _convert(estimator, len(parity.rows[0]), parity.dtype)
        predictor = OnnxPredictor(graph, parity.dtype, codec)
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        raise NotCompilableError(f"skl2onnx cannot convert it ({type(error).__name__}: {cause})") from error
    check_parity(predictor, parity)
    return graph


def _convert(estimator: Any, columns: int, dtype: str) -> bytes:
    from skl2onnx import convert_sklearn  # noqa: PLC0415
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType  # noqa: PLC0415

    kind = FloatTensorType if dtype == "float32" else DoubleTensorType
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    converted = convert_sklearn(estimator, initial_types=[("rows", kind([None, columns]))], options=options)
    graph: bytes = converted.SerializeToString()
    return graph


def _dtypes(estimator: Any) -> tuple[str, ...]:
    return ("float32",) if type(estimator).__module__.startswith(_FLOAT32_MODULES) else ("float64", "float32")


def _payload(codec: Codec, rows: list[list[float]]) -> Any:
    """Make a payload of rows, with integers where the signature requires them."""
    if codec.signature.tensors:
        return codec.payload(rows)
    columns = codec.signature.columns
    cast = [int if column.type in {"integer", "long"} else float for column in columns]
    named = [{c.name: to(value) for c, to, value in zip(columns, cast, row, strict=True)} for row in rows]
    return codec.payload(named)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
