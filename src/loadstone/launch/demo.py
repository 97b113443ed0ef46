"""The demo target: the inference API of this repository, with a small model in a registry of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.launch.managed_process import ManagedProcess
from loadstone.launch.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import RunSettings

__all__ = ["DemoTarget", "describe_target", "target_folder"]

_READY_WITHIN_S: Final = 120.0
_TROUBLE_FOR_S: Final = 5.0
"""How long a registry may be away, or without the model that was named, before that counts as a wrong setting."""

_BIND: Final = "127.0.0.1"
_QUIET: Final = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""A load test talks to nobody else, and onnxruntime would leave a file in the temporary folder."""


def target_folder() -> Path:
    """The folder ``target`` of the repository. Raises `UsageError` when this is no checkout of it."""
    for folder in (Path("target"), Path(__file__).parents[3] / "target"):
        if (folder / "inference").is_dir():
            return folder.resolve()
    raise UsageError("there is no demo target here", hint="Name the service to be tested with --host URL")


@dataclass(slots=True)
class DemoTarget:
    """The demo target's two steps: train a model unless there is one or another is named, then serve it."""

    train: ManagedProcess | None
    serve: ManagedProcess
    host: str

    @classmethod
    def prepare(cls, settings: RunSettings, logs: Path) -> DemoTarget:
        """Lay out both processes; nothing is started yet. The demo's own registry is kept between runs."""
        folder = target_folder()
        port = settings.target_port or free_port(_BIND)
        state = folder.parent / ".cache" / "demo"
        state.mkdir(parents=True, exist_ok=True)
        env = {**_QUIET, "PYTHONPATH": str(folder), "TARGET_HOST": _BIND, "TARGET_PORT": str(port)}
        env |= {"MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}"}
        if settings.model:  # only then another registry is meant, and nothing is ever put into that
            env |= {"MODEL_URI": settings.model}
            env |= {"MLFLOW_TRACKING_URI": settings.registry} if settings.registry else {}
        argv, cwd = [sys.executable, "-m", "inference"], None if settings.model else state
        train = ManagedProcess(name="train", argv=[*argv, "train"], env=env, log=logs / "train.log", cwd=cwd)
        serve = ManagedProcess(name="target", argv=[*argv, "serve"], env=env, log=logs / "target.log", cwd=cwd)
        return cls(None if settings.model else train, serve, f"http://{_BIND}:{port}")

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Train if need be, serve, and wait until it is ready. Raises `UsageError` or `PlatformError`."""
        deadline = time.monotonic() + _READY_WITHIN_S
        if self.train:
            self._have_a_model(self.train, deadline, interrupted)
        if interrupted():
            return
        self.serve.start()
        untroubled = time.monotonic()
        while (answer := self._ask_ready()) is not None and not interrupted():
            now = time.monotonic()
            if not self.serve.alive or now > deadline:
                raise self._failure(self.serve)
            untroubled = untroubled if answer else now
            if now - untroubled > _TROUBLE_FOR_S:
                raise UsageError(f"the demo target has no model: {answer}")
            time.sleep(0.05)

    def _have_a_model(self, train: ManagedProcess, deadline: float, interrupted: Callable[[], bool]) -> None:
        train.start()
        try:
            while train.alive and time.monotonic() < deadline and not interrupted():
                time.sleep(0.05)
            if train.exit_code != 0 and not interrupted():
                raise self._failure(train)
        finally:
            train.stop()

    def _ask_ready(self) -> str | None:
        """None when it is ready; else what it says is in the way, which may be nothing."""
        try:
            answer = httpx.get(f"{self.host}/ready", timeout=1, trust_env=False)
            return None if answer.status_code == httpx.codes.OK else str(answer.json().get("why") or "")
        except (httpx.HTTPError, ValueError):
            return ""

    def _failure(self, part: ManagedProcess) -> UsageError | PlatformError:
        said = (part.tail() or "it said nothing").splitlines()[-1]
        if part.exit_code == ExitCode.USAGE:
            return UsageError(f"the demo target refuses to start: {said}")
        return PlatformError(f"the demo target did not start ({part.name}, exit {part.exit_code}): {said}")


def describe_target(host: str) -> dict[str, Any] | None:
    """What a target says of itself under ``/info``; None when it does not speak that language."""
    try:
        answer = httpx.get(f"{host}/info", timeout=2, trust_env=False)
        found = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError):
        return None
    if not isinstance(found, dict) or "model" not in found:
        return None
    return {key: found.get(key) for key in ("model", "version", "alias", "run_id", "mode", "limits")}
