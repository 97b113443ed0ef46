"""Making a compiled folder from a registry model. Needs the training libraries, so it runs in a process of its own.

Only the graph and the proof of it go back to the serving process, which then holds neither scikit-learn nor pandas.
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
from inference.predictors import PyfuncPredictor, load_pyfunc
from inference.registry import Registry

if TYPE_CHECKING:
    from inference.card import Card, Version
    from inference.settings import Settings

_LIBRARIES: Final = ("onnxruntime", "scikit-learn", "skl2onnx")
# Rows that the parity check adds to the example's: values between and around those of the example.
_MADE_ROWS: Final = 256
_MAX_ROWS: Final = 100_000
_TIMEOUT_S: Final = 300
# Estimators that compare their inputs as float32 (scikit-learn's sklearn/tree/_classes.py, DTYPE); others get float64.
_FLOAT32_MODULES: Final = ("sklearn.tree", "sklearn.ensemble._forest", "sklearn.ensemble._gb")


def folder_name(card: Card) -> str:
    """Name the folder of a run's artifacts that holds the model's graph."""
    return f"compiled/{card.uuid}"


def obtain_compiled(card: Card, codec: Codec, registry: Registry, folder: Path) -> tuple[OnnxPredictor, str]:
    """Get the version's graph, from the registry or by compiling it in a child process, and say which.

    Raises:
        NotCompilableError: there is none that agrees with the registry's model.
        RegistryAwayError: the registry does not answer.

    """
    stored = registry.fetch_run_folder(card.version, folder_name(card), folder)
    if stored is not None:
        return load_compiled(stored, card, codec), "its graph from the registry agrees with the registry's model"
    require_compilable(card)
    _compile_in_child(card.version, registry, folder / "made")
    return load_compiled(folder / "made", card, codec), "its graph, compiled here, agrees with the registry's model"


def require_compilable(card: Card) -> None:
    """Refuse what is known not to convert, before anything is downloaded.

    Raises:
        NotCompilableError: with the reason that ``/info`` shows.

    """
    reasons = {
        f"only scikit-learn models are compiled, and this is {card.flavor}": card.flavor != "sklearn",
        f"pyfunc calls {card.predict_fn}, not predict": card.predict_fn != "predict",
        "its inputs are not one table or matrix of required numbers": not _one_matrix(card),
        "it was logged without an input example to check the graph with": not card.example,
        "skl2onnx and scikit-learn are not installed here": find_spec("skl2onnx") is None
        or find_spec("sklearn") is None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotCompilableError(reason)


def compile_command(settings: Settings, into: Path | None) -> int:
    """Compile the model that MODEL_URI names, into a folder or beside the model in the registry; print one line.

    Raises:
        TargetError: the model cannot be compiled, or the registry does not answer.

    """
    registry = Registry(settings.tracking_uri)
    resolved = registry.resolve(settings.model_uri)
    if into is not None:
        os.nice(10)  # somebody is being served while this runs
        compile_version(resolved, registry, into)
        return 0
    store_beside_model(resolved, registry)
    sys.stdout.write(f"compiled {resolved} and stored its graph in the registry\n")
    return 0


def store_beside_model(resolved: Version, registry: Registry) -> None:
    """Compile a version and upload its graph to the artifacts of the version's run.

    Raises:
        NotCompilableError: it has no graph that agrees with it.
        RegistryAwayError: the registry does not answer.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        card = compile_version(resolved, registry, Path(scratch) / "compiled")
        registry.store_run_folder(resolved, folder_name(card), Path(scratch) / "compiled")


def compile_version(resolved: Version, registry: Registry, into: Path) -> Card:
    """Compile a version into a folder, and give its card.

    Raises:
        NotCompilableError: it has no graph that agrees with it.
        RegistryAwayError: the registry does not answer.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        card = registry.fetch_card(resolved, Path(scratch))
        require_compilable(card)
        path = registry.fetch_model(resolved, Path(scratch) / "model")
        graph, parity = _first_that_agrees(card, path)
    store_compiled(into, graph, parity)
    return card


def parity_rows(codec: Codec, example: Any) -> list[list[float]]:
    """Give the example's rows, and 256 made ones whose values lie within half a span around the example's."""
    known = codec.matrix(codec.payload(example), np.dtype("float64"))
    low, high = known.min(axis=0), known.max(axis=0)
    random = np.random.default_rng(0)
    reach = (high - low) / 2
    made = random.uniform(low - reach, high + reach, (_MADE_ROWS, known.shape[1]))
    whole = [column.type in {"integer", "long"} for column in codec.signature.columns] or [False] * known.shape[1]
    made[:, whole] = np.round(made[:, whole])
    rows: list[list[float]] = np.concatenate([known, made]).tolist()
    return rows


def _one_matrix(card: Card) -> bool:
    signature = card.signature
    if signature.tensors:
        only = signature.tensors[0]
        return len(signature.tensors) == 1 and only.name is None and len(only.shape) == 2 and "float" in only.dtype  # noqa: PLR2004
    return signature.all_numeric


def _compile_in_child(resolved: Version, registry: Registry, into: Path) -> None:
    """Let a child process convert, so that its libraries and its memory are gone when it has ended."""
    command = [sys.executable, "-m", "inference", "compile", "--into", str(into)]
    package = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "MODEL_URI": resolved.uri, "MLFLOW_TRACKING_URI": registry.uri, "PYTHONPATH": paths}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as slow:
        raise NotCompilableError(f"the conversion did not end within {_TIMEOUT_S} s") from slow
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"the conversion ended with exit code {done.returncode}"]
        raise NotCompilableError(lines[-1])


def _first_that_agrees(card: Card, path: Path) -> tuple[bytes, Parity]:
    """Try the number types that fit the estimator, and give the first graph that passes the parity check."""
    import mlflow.sklearn  # noqa: PLC0415

    estimator = mlflow.sklearn.load_model(str(path))
    codec = Codec(card.signature, _MAX_ROWS)
    rows = parity_rows(codec, card.example)
    registered = PyfuncPredictor(load_pyfunc(path, str(card.version)), codec)
    expected = registered.predict(_payload(codec, rows))
    reasons = []
    for dtype in _dtypes(estimator):
        parity = Parity(uuid=card.uuid, dtype=dtype, rows=rows, expected=expected, versions=_versions())
        try:
            return _agreeing_graph(estimator, parity, codec), parity
        except NotCompilableError as reason:
            reasons.append(f"{dtype}: {reason.what}")
    raise NotCompilableError("; ".join(reasons))


def _agreeing_graph(estimator: Any, parity: Parity, codec: Codec) -> bytes:
    try:
        graph = _convert(estimator, len(parity.rows[0]), parity.dtype)
        predictor = OnnxPredictor(graph, parity.dtype, codec)
    except Exception as problem:
        cause = " ".join(str(problem).split())[:200]
        raise NotCompilableError(f"it does not convert ({type(problem).__name__}: {cause})") from problem
    check_parity(predictor, parity)
    return graph


def _convert(estimator: Any, columns: int, dtype: str) -> bytes:
    from skl2onnx import convert_sklearn  # noqa: PLC0415
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType  # noqa: PLC0415

    kind = FloatTensorType if dtype == "float32" else DoubleTensorType
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    made = convert_sklearn(estimator, initial_types=[("rows", kind([None, columns]))], options=options)
    graph: bytes = made.SerializeToString()
    return graph


def _dtypes(estimator: Any) -> tuple[str, ...]:
    return ("float32",) if type(estimator).__module__.startswith(_FLOAT32_MODULES) else ("float64", "float32")


def _payload(codec: Codec, rows: list[list[float]]) -> Any:
    """Make a payload of rows, with whole numbers where the signature asks for them."""
    if codec.signature.tensors:
        return codec.payload(rows)
    columns = codec.signature.columns
    cast = [int if column.type in {"integer", "long"} else float for column in columns]
    named = [{c.name: to(value) for c, to, value in zip(columns, cast, row, strict=True)} for row in rows]
    return codec.payload(named)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
