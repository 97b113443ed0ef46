"""Loads the version that MODEL_URI names, follows its alias, and swaps versions without failing a request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from inference.errors import ModelLoadError, ModelMissingError, ModelRefusedError, RegistryAwayError
from inference.serving import prepare
from inference.telemetry import log_error, log_info, log_warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.model_info import Version
    from inference.registry import Registry
    from inference.serving import Prepared, Serving
    from inference.settings import Settings
    from inference.telemetry import Metrics

# The wait between two attempts to reach an unavailable registry: full jitter up to a cap that doubles.
_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 15.0

# Allocations before a collection of the youngest generation, then collections before one of the next generation.
# CPython's defaults are 700, 10, 10.
_GC_THRESHOLDS: Final = (100_000, 50, 100)

_RETRIED: Final = "the target will try again; fix the cause, or move the alias to another version"
_EVENTS: Final = {
    ModelMissingError: "model_missing",
    RegistryAwayError: "registry_away",
    ModelLoadError: "model_load_failed",
}

State = Literal["loading", "serving", "draining", "refused"]
Result = TypeVar("Result")


class ModelManager:
    """Holds the model that is being served. Belongs to one event loop.

    Attributes:
        current: the model that answers requests; None until the first version is loaded.
        draining: whether the process has been told to stop.
        has_checked: whether the first registry lookup is over: a model is being served, or ``error`` says why not.
        refused: why the first model cannot be served; set at most once, and then the process should exit.
        error: the current problem with the registry or its model, for ``/ready`` and ``/info``.

    """

    def __init__(self, registry: Registry, settings: Settings, metrics: Metrics) -> None:
        self.current: Serving | None = None
        self.draining = False
        self.has_checked = False
        self.refused: ModelRefusedError | None = None
        self.error: str | None = None
        self._registry = registry
        self._settings = settings
        self._metrics = metrics
        self._skipped: Version | None = None
        self._failures = 0
        metrics.watch_queue(self._queued_rows)

    @property
    def state(self) -> State:
        """The state that ``/ready`` reports."""
        if self.draining:
            return "draining"
        if self.refused is not None:
            return "refused"
        return "serving" if self.current is not None else "loading"

    async def run(self) -> None:
        """Check the registry repeatedly, until the first model is refused or polling is switched off."""
        while self.refused is None:
            try:
                await self._check()
            finally:
                self.has_checked = True
            if self.current is not None and self._settings.poll_s == 0:
                return
            await asyncio.sleep(self._pause_s())

    async def _check(self) -> None:
        try:
            version = await in_thread(lambda: self._registry.resolve(self._settings.model_uri))
            await self._follow(version)
        except (ModelMissingError, RegistryAwayError) as error:
            self._report(error)
        except ModelRefusedError as refused:
            self._refuse(refused)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next version or the next try may work
            self._report(ModelLoadError(f"the model could not be loaded ({type(error).__name__}: {error})", _RETRIED))

    async def _follow(self, version: Version) -> None:
        known = self.current.model_info.version if self.current is not None else None
        if version == known:
            self._skipped = None  # the alias has left the unusable version, and may come back to it
        elif version != self._skipped:
            await self._load(version)
        if self._failures:
            log_info("registry_back", after_failures=self._failures)
        self._failures = 0
        if version != self._skipped:
            self.error = None

    async def _load(self, version: Version) -> None:
        started_s = time.perf_counter()
        log_info("model_loading", model=version, registry=self._registry.uri)
        self._skipped = version  # an unusable version is not tried again
        prepared = await in_thread(lambda: prepare(version, self._registry, self._settings))
        self._swap(prepared)
        self._skipped = None
        engine = prepared.engine
        log_info(
            "model_serving",
            model=version,
            mode=engine.mode,
            reason=engine.reason,
            took_s=time.perf_counter() - started_s,
        )

    def _swap(self, prepared: Prepared) -> None:
        """Switch to the new version; the old one finishes the requests that it has accepted."""
        old, self.current = self.current, prepared.start(self._settings, self._metrics)
        version = prepared.model_info.version
        self._metrics.serves(version.name, version.number, prepared.engine.mode)
        if old is None:
            _tune_garbage_collection()
        else:
            self._metrics.swaps.inc()
            old.close()

    def _report(self, error: ModelMissingError | RegistryAwayError | ModelLoadError) -> None:
        self._skipped = None
        self._failures += 1
        self.error = error.sentence()
        self._metrics.registry_errors.inc()
        log_warning(_EVENTS[type(error)], reason=error.what, hint=error.hint, failures=self._failures)

    def _refuse(self, refused: ModelRefusedError) -> None:
        self.error = refused.sentence()
        if self.current is None:
            self.refused = refused
        else:
            log_error(
                "model_refused", reason=refused.what, hint=refused.hint, still_serving=self.current.model_info.version
            )

    def _pause_s(self) -> float:
        if self._failures:
            cap = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self._failures, 10))
            return random.uniform(_FIRST_RETRY_S / 2, cap)  # noqa: S311 - jitter, not a secret
        return self._settings.poll_s

    def _queued_rows(self) -> int:
        return self.current.batcher.queued_rows if self.current is not None and self.current.batcher is not None else 0


def _tune_garbage_collection() -> None:
    """Free the memory that loading needed, and exclude libraries and the model from garbage collection.

    Requests leave no cyclic garbage (measured: 0 objects in 100 requests), but with 10,000 connections one full
    collection pauses the process for 0.17 s. Freezing and higher thresholds cut p95 under that load from 340 to 9 ms.
    """
    gc.collect()
    _trim_heap()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _trim_heap() -> None:
    """Return free heap memory to the system: 24 of 105 MB after a graph was loaded. Only glibc needs this call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


async def in_thread(call: Callable[[], Result]) -> Result:
    """Run a blocking call in a daemon thread, which, unlike the default pool's, does not delay the process's exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()
    threading.Thread(target=_settle_in_thread, args=(loop, future, call), daemon=True, name="registry").start()
    return await future


def _settle_in_thread(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
    try:
        settle, value = future.set_result, call()
    except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
        settle, value = future.set_exception, error
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: None if future.done() else settle(value))
