"""The demo target: the inference API of this repository, with a small model in a registry of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.stack.part import Part
from loadstone.stack.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DemoTarget", "describe_target", "target_folder"]

_READY_WITHIN_S: Final = 120.0
_BIND: Final = "127.0.0.1"


def target_folder() -> Path:
    """The folder ``target`` of the repository. Raises `UsageError` when this is no checkout of it."""
    for folder in (Path("target"), Path(__file__).parents[3] / "target"):
        if (folder / "inference").is_dir():
            return folder.resolve()
    raise UsageError("there is no demo target here", hint="Name the service to be tested with --host URL")


@dataclass(slots=True)
class DemoTarget:
    """The demo target's two steps: train a model unless there is one, then serve it."""

    train: Part
    serve: Part
    host: str

    @classmethod
    def prepare(cls, logs: Path, port: int) -> DemoTarget:
        """Lay out both processes; nothing is started yet. The registry is kept beside the target between runs."""
        folder = target_folder()
        port = port or free_port(_BIND)
        state = folder.parent / ".cache" / "demo"
        state.mkdir(parents=True, exist_ok=True)
        env = {
            "PYTHONPATH": str(folder),
            "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}",
            "TARGET_HOST": _BIND,
            "TARGET_PORT": str(port),
        }
        argv = [sys.executable, "-m", "inference"]
        train = Part(name="train", argv=[*argv, "train"], env=env, log=logs / "train.log", cwd=state)
        serve = Part(name="target", argv=[*argv, "serve"], env=env, log=logs / "target.log", cwd=state)
        return cls(train, serve, f"http://{_BIND}:{port}")

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Train if need be, serve, and wait until it is ready. Raises `UsageError` or `PlatformError`."""
        self.train.start()
        deadline = time.monotonic() + _READY_WITHIN_S
        while self.train.alive and time.monotonic() < deadline and not interrupted():
            time.sleep(0.05)
        if interrupted():
            return
        if self.train.exit_code != 0:
            raise self._failure(self.train)
        self.serve.start()
        while not self._ready() and not interrupted():
            if not self.serve.alive or time.monotonic() > deadline:
                raise self._failure(self.serve)
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.host}/ready", timeout=1, trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _failure(self, part: Part) -> UsageError | PlatformError:
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
