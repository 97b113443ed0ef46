"""One loaded model, ready to answer: what the hot path needs to know of it, and how it is made."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference import logs
from inference.batching import Batcher, QueueLimits
from inference.codec import Codec
from inference.compiling import obtain_compiled
from inference.errors import ModelRefusedError, NotCompilableError
from inference.naive import naive_app
from inference.predictors import PyfuncPredictor, load_pyfunc

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.card import Card, Version
    from inference.codec import Payload
    from inference.metrics import Metrics
    from inference.registry import Registry
    from inference.settings import Mode, Settings


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How a version's predictions are made: the mode, why it was chosen, and the call.

    Attributes:
        mode: ``naive``, ``batched`` or ``compiled``.
        why: one clause for ``/info``.
        predict: payload of n rows to a list of n predictions.
        quick: whether a call may run on the event loop when it is short.

    """

    mode: Mode
    why: str
    predict: Callable[[Payload], Any]
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A warm model with its codec. Requests that began on it end on it, also after another version took over."""

    card: Card
    mode: Mode
    why: str
    codec: Codec
    batcher: Batcher | None = None
    naive: Any = None
    since: float = field(default_factory=time.time)

    def close(self) -> None:
        """Answer what is queued and free the model's thread."""
        if self.batcher is not None:
            self.batcher.close()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A loaded and warmed model, not yet bound to an event loop."""

    card: Card
    codec: Codec
    engine: Engine

    def start(self, settings: Settings, metrics: Metrics) -> Serving:
        """Make it answer requests; call this on the event loop."""
        engine, card = self.engine, self.card
        if engine.mode == "naive":
            predictor: Any = engine.predict
            app = naive_app(predictor.__self__, self.codec, card.version.number)
            return Serving(card=card, mode=engine.mode, why=engine.why, codec=self.codec, naive=app)
        limits = QueueLimits(batch_rows=settings.batch_rows, queue_rows=settings.queue_rows, queue_s=settings.queue_s)
        batcher = Batcher(engine.predict, self.codec, limits, metrics, inline=engine.quick)
        return Serving(card=card, mode=engine.mode, why=engine.why, codec=self.codec, batcher=batcher)


def prepare(version: Version, registry: Registry, settings: Settings) -> Prepared:
    """Download, load and warm one version. Blocks for seconds; call it off the event loop.

    Raises:
        ModelRefusedError: the model cannot be served.
        RegistryAwayError: the registry or its artifact store does not answer.

    """
    with tempfile.TemporaryDirectory(prefix="target-") as scratch:
        folder = Path(scratch)
        card = registry.fetch_card(version, folder)
        codec = Codec(card.signature, settings.queue_rows)
        engine = _engine(card, codec, registry, settings, folder)
        _warm(card, codec, engine)
    return Prepared(card=card, codec=codec, engine=engine)


def _engine(card: Card, codec: Codec, registry: Registry, settings: Settings, folder: Path) -> Engine:
    if settings.mode in {"naive", "batched"}:
        predict = _pyfunc(card, codec, registry, folder).predict
        return Engine(mode=settings.mode, why=f"TARGET_MODE={settings.mode}", predict=predict)
    try:
        predictor, why = obtain_compiled(card, codec, registry, folder / "compiled")
        return Engine(mode="compiled", why=why, predict=predictor.predict, quick=True)
    except NotCompilableError as reason:
        return _batched_instead(card, codec, registry, folder, reason)


def _batched_instead(card: Card, codec: Codec, registry: Registry, folder: Path, reason: NotCompilableError) -> Engine:
    why = f"not compiled: {reason.sentence()}"
    try:
        predict = _pyfunc(card, codec, registry, folder).predict
    except ModelRefusedError as refused:
        raise ModelRefusedError(f"{refused.what}; {why}", refused.hint) from refused
    return Engine(mode="batched", why=why, predict=predict)


def _pyfunc(card: Card, codec: Codec, registry: Registry, folder: Path) -> PyfuncPredictor:
    path = registry.fetch_model(card.version, folder / "model")
    return PyfuncPredictor(load_pyfunc(path, str(card.version)), codec)


def _warm(card: Card, codec: Codec, engine: Engine) -> None:
    """Predict the input example, so that the first user does not pay for lazy imports and caches."""
    if not card.example:
        return
    try:
        engine.predict(codec.payload(card.example))
    except Exception as problem:  # noqa: BLE001 - an example that does not fit says nothing about users' rows
        logs.warning("warm_up_failed", model=card.version, why=problem)
