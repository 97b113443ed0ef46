"""One loaded model that answers requests: how it is downloaded, loaded and warmed up, and in which mode it serves."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.batching import Batcher, QueueLimits
from inference.codec import Codec
from inference.compiling import obtain_compiled
from inference.errors import ModelRefusedError, NotCompilableError
from inference.pyfunc import PyfuncPredictor, load_pyfunc, naive_app
from inference.telemetry import log_warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.codec import Payload
    from inference.model_info import ModelInfo, Version
    from inference.registry import Registry
    from inference.settings import Mode, Settings
    from inference.telemetry import Metrics


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The way a version is called: the mode, the reason for it, and the function.

    Attributes:
        mode: ``naive``, ``batched`` or ``compiled``.
        reason: one clause that says why this mode was chosen, for ``/info``.
        predict: takes a payload of n rows and returns a list of n predictions.
        inline: whether a short call may run on the event loop.

    """

    mode: Mode
    reason: str
    predict: Callable[[Payload], Any]
    inline: bool = False


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A warmed-up model with its codec. It finishes the requests it accepted, even after another version took over."""

    model_info: ModelInfo
    mode: Mode
    reason: str
    codec: Codec
    batcher: Batcher | None = None
    naive: Any = None

    def close(self) -> None:
        """Answer all queued requests and stop the model's thread."""
        if self.batcher is not None:
            self.batcher.close()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A loaded and warmed-up model that is not bound to an event loop yet."""

    model_info: ModelInfo
    codec: Codec
    engine: Engine

    def start(self, settings: Settings, metrics: Metrics) -> Serving:
        """Start to answer requests; call this on the event loop."""
        engine, model_info = self.engine, self.model_info
        if engine.mode == "naive":
            predictor: Any = engine.predict
            app = naive_app(predictor.__self__, self.codec, model_info.version.number)
            return Serving(model_info=model_info, mode=engine.mode, reason=engine.reason, codec=self.codec, naive=app)
        limits = QueueLimits(batch_rows=settings.batch_rows, queue_rows=settings.queue_rows, queue_s=settings.queue_s)
        batcher = Batcher(engine.predict, self.codec, limits, metrics, inline=engine.inline)
        return Serving(model_info=model_info, mode=engine.mode, reason=engine.reason, codec=self.codec, batcher=batcher)


def prepare(version: Version, registry: Registry, settings: Settings) -> Prepared:
    """Download, load and warm up one version. Blocks for seconds; do not call it on the event loop.

    Raises:
        ModelRefusedError: the model cannot be served.
        RegistryAwayError: the registry or its artifact store is unavailable.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        folder = Path(scratch)
        model_info = registry.fetch_model_info(version, folder)
        codec = Codec(model_info.signature, settings.queue_rows)
        engine = _engine(model_info, codec, registry, settings, folder)
        _warm_up(model_info, codec, engine)
    return Prepared(model_info=model_info, codec=codec, engine=engine)


def _engine(model_info: ModelInfo, codec: Codec, registry: Registry, settings: Settings, folder: Path) -> Engine:
    if settings.mode in {"naive", "batched"}:
        predict = _pyfunc(model_info, codec, registry, folder).predict
        return Engine(mode=settings.mode, reason=f"TARGET_MODE={settings.mode}", predict=predict)
    try:
        predictor, reason = obtain_compiled(model_info, codec, registry, folder / "compiled")
        return Engine(mode="compiled", reason=reason, predict=predictor.predict, inline=True)
    except NotCompilableError as error:
        return _fall_back_to_batched(model_info, codec, registry, folder, error)


def _fall_back_to_batched(
    model_info: ModelInfo, codec: Codec, registry: Registry, folder: Path, error: NotCompilableError
) -> Engine:
    reason = f"not compiled: {error.sentence()}"
    try:
        predict = _pyfunc(model_info, codec, registry, folder).predict
    except ModelRefusedError as refused:
        raise ModelRefusedError(f"{refused.what}; {reason}", refused.hint) from refused
    return Engine(mode="batched", reason=reason, predict=predict)


def _pyfunc(model_info: ModelInfo, codec: Codec, registry: Registry, folder: Path) -> PyfuncPredictor:
    path = registry.fetch_model(model_info.version, folder / "model")
    return PyfuncPredictor(load_pyfunc(path, str(model_info.version)), codec)


def _warm_up(model_info: ModelInfo, codec: Codec, engine: Engine) -> None:
    """Predict the input example, so that the first request does not pay for lazy imports and cold caches."""
    if not model_info.example:
        return
    try:
        engine.predict(codec.payload(model_info.example))
    except Exception as error:  # noqa: BLE001 - the example may be unusable while users' rows are fine
        log_warning("warm_up_failed", model=model_info.version, reason=error)
