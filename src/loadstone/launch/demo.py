"""DemoTarget: the inference API of this repository, serving a small model from its own registry."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.launch import demo_files
from loadstone.launch.managed_process import ManagedProcess
from loadstone.launch.python import python_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loadstone.domain.time import Clock
    from loadstone.launch.managed_process import ReservedPorts
    from loadstone.settings import RunSettings

__all__ = ["DemoTarget", "TargetInfo", "demo_registry", "describe_target"]

_DATABASE: Final = "mlflow.db"
_READY_WITHIN_S: Final = 120.0
_NOT_READY_FOR_S: Final = 5.0
"""How long the registry may be unreachable or lack the model before that counts as a wrong setting."""
_LOOK_EVERY_S: Final = 0.05

_BIND: Final = "127.0.0.1"
_NO_DRAIN: Final = {"TARGET_DRAIN_SECONDS": "0"}
"""No balancer has to notice that it ends."""
_QUIET: Final = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""No telemetry: it would talk to other hosts during a test, and onnxruntime would leave a file in /tmp."""


class TargetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a target's ``/info`` that is recorded with a run."""

    model: str | None
    version: str | None = None
    alias: str | None = None
    run_id: str | None = None
    mode: str | None = None
    limits: dict[str, float | None] | None = None


class _Readiness(msgspec.Struct, frozen=True):
    """The answer of ``/ready`` while the target is not ready: ``why`` not."""

    why: str | None = None


def demo_registry(settings: RunSettings) -> str:
    """The MLflow registry of the demo target. Raises `UsageError` where there is no demo target."""
    if settings.demo_model and settings.demo_registry:  # training never writes to a registry of the user
        return settings.demo_registry
    return f"sqlite:///{demo_files.state_folder() / _DATABASE}"


@dataclass(slots=True)
class DemoTarget:
    """The processes of the demo target: ``train`` makes a model (None where there is one), ``serve`` serves it.

    The file ``trained`` says that there is one: to find that out, training needs seconds for its libraries alone. None
    where a model is named. ``always_trains``: training looks all the same, and copies what will be served.
    """

    train: ManagedProcess | None
    serve: ManagedProcess
    host: str
    trained: Path | None
    always_trains: bool = False
    clock: Clock = SYSTEM_CLOCK
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def prepare(
        cls,
        settings: RunSettings,
        logs: Path,
        ports: ReservedPorts,
        make_process: Callable[..., ManagedProcess] = ManagedProcess,
        prefix: Sequence[str] = (),
    ) -> DemoTarget:
        """Define both processes; nothing is started yet. The demo's own registry is kept between runs.

        ``prefix``: words before the command line that serves; training runs without limits. Raises `UsageError` where
        the demo is not installed.
        """
        folder, state = demo_files.target_folder(), demo_files.state_folder()
        trained = None if settings.demo_model else state / "trained"
        port = settings.demo_port or ports.reserve(_BIND)
        state.mkdir(parents=True, exist_ok=True)
        env = {**_QUIET, **_NO_DRAIN, "PYTHONPATH": str(folder), "TARGET_HOST": _BIND, "TARGET_PORT": str(port)}
        env |= {"MLFLOW_TRACKING_URI": demo_registry(settings)}
        # Copies are made without limits, by training, or not at all: within them one start would differ from the next.
        env |= {"TARGET_COPIES": "off" if prefix and trained is None else str(state.absolute() / "copies")}
        env |= {"MODEL_URI": settings.demo_model or ""}  # empty: not the one that some other program is told to use
        argv, cwd = python_module("inference"), None if settings.demo_model else state
        train = make_process(name="train", argv=[*argv, "train"], env=env, log=logs / "train.log", cwd=cwd)
        serve = make_process(name="target", argv=[*prefix, *argv, "serve"], env=env, log=logs / "target.log", cwd=cwd)
        is_needed = trained is not None and (bool(prefix) or not _is_made(trained))
        return cls(train if is_needed else None, serve, f"http://{_BIND}:{port}", trained, always_trains=bool(prefix))

    def start(self, interrupted: Callable[[], bool], serving: Callable[[], None] = lambda: None) -> None:
        """Train if necessary, serve, call ``serving``, and wait until it is ready.

        Raises `UsageError` or `PlatformError`.
        """
        deadline_s = self.clock.monotonic_s() + _READY_WITHIN_S
        if self.train and self.trained:
            with self._alone(self.trained.parent, deadline_s, interrupted):
                if not interrupted() and (self.always_trains or not _is_made(self.trained)):
                    self._make_model(self.train, deadline_s, interrupted)
        if interrupted():
            return
        self.serve.start()
        serving()
        with httpx.Client(base_url=self.host, timeout=1, trust_env=False) as client:
            self._await_ready(client, deadline_s, interrupted)

    @contextmanager
    def _alone(self, state: Path, deadline_s: float, interrupted: Callable[[], bool]) -> Iterator[None]:
        """Wait until no other program makes the model: two would both make the tables of one registry.

        Raises `PlatformError` when that takes too long.
        """
        handle = os.open(state, os.O_RDONLY)
        try:
            while not _locked(handle) and not interrupted():
                if self.clock.monotonic_s() > deadline_s:
                    raise PlatformError(f"another program has been making the demo's model in {state} for too long")
                self.sleep(_LOOK_EVERY_S)
            yield
        finally:
            os.close(handle)

    def _await_ready(self, client: httpx.Client, deadline_s: float, interrupted: Callable[[], bool]) -> None:
        last_fine_s = self.clock.monotonic_s()
        while (reason := _not_ready_because(client)) is not None and not interrupted():
            now_s = self.clock.monotonic_s()
            if not self.serve.alive or now_s > deadline_s:
                raise self._failure(self.serve)
            last_fine_s = last_fine_s if reason else now_s
            if now_s - last_fine_s > _NOT_READY_FOR_S:
                self._forget_model()
                hint = "Start it again: then the model is made anew" if self.trained else ""
                raise UsageError(f"the demo target has no model: {reason}", hint=hint)
            self.sleep(_LOOK_EVERY_S)

    def _make_model(self, train: ManagedProcess, deadline_s: float, interrupted: Callable[[], bool]) -> None:
        self._forget_model()  # that of a registry which is gone: another run would not wait for this one
        train.start()
        try:
            while train.alive and self.clock.monotonic_s() < deadline_s and not interrupted():
                self.sleep(_LOOK_EVERY_S)
            if train.exit_code != 0 and not interrupted():
                raise self._failure(train)
        finally:
            train.stop()
        if self.trained and train.exit_code == 0:
            self.trained.touch()

    def _forget_model(self) -> None:
        if self.trained:
            self.trained.unlink(missing_ok=True)

    def _failure(self, process: ManagedProcess) -> UsageError | PlatformError:
        last_line = (process.tail() or "its log is empty").splitlines()[-1]
        if process.exit_code == ExitCode.USAGE:
            return UsageError(f"the demo target refuses to start: {last_line}")
        return PlatformError(f"the demo target did not start ({process.name}, exit {process.exit_code}): {last_line}")


def _is_made(trained: Path) -> bool:
    """Whether the registry beside this file has the model, as far as the file tells."""
    return trained.exists() and (trained.parent / _DATABASE).exists()


def _locked(handle: int) -> bool:
    """Whether the folder is locked now (flock), until the handle is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _not_ready_because(client: httpx.Client) -> str | None:
    """None when the target is ready; else the reason it gives, "" when it gives none yet."""
    try:
        answer = client.get("/ready")
        if answer.status_code == httpx.codes.OK:
            return None
        return msgspec.json.decode(answer.content, type=_Readiness).why or ""
    except (httpx.HTTPError, msgspec.MsgspecError):
        return ""


def describe_target(host: str) -> TargetInfo | None:
    """What the target's ``/info`` says about it; None when it has no such answer."""
    try:
        answer = httpx.get(f"{host.rstrip('/')}/info", timeout=2, trust_env=False)
        return msgspec.json.decode(answer.content, type=TargetInfo) if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
        return None
