"""Helpers that start the real target and register models of several kinds."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from inference.registry import Registry
from inference.server import build
from inference.settings import parse_model_uri, read_settings
from inference.telemetry import Metrics
from support.prometheus import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

ROOT = Path(__file__).parents[3]
PATIENCE_S = 180.0


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a target whose registry is in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TARGET_", "MLFLOW_", "MODEL_"))}
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PYTHONPATH": str(ROOT / "target")}
    quick = {"TARGET_MODEL_POLL_SECONDS": "0.2", "TARGET_DRAIN_SECONDS": "0.5", "TARGET_PORT": "0"}
    return {**kept, **registry, **quick, **settings}


def run_command(command: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the target and wait for it."""
    return subprocess.run(
        [sys.executable, "-m", "inference", command],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def train(folder: Path) -> Path:
    """Fill a registry in the folder with the sample model; what ``train`` printed is in train.stdout."""
    done = run_command("train", folder)
    assert done.returncode == 0, done.stderr
    (folder / "train.stdout").write_text(done.stdout)
    return folder


class TargetProcess:
    """A real ``python -m inference serve`` with its log lines."""

    def __init__(self, folder: Path, *, listens: bool = True, **settings: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inference", "serve"],
            cwd=folder,
            env=environment(folder, **settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not listens:
            return
        try:
            self.port = int(self.wait_for_line(r"event=listening .*port=(\d+)").group(1))
        except BaseException:
            self.process.kill()  # nobody else knows the process yet
            raise
        self.url = f"http://{settings.get('TARGET_HOST', '127.0.0.1')}:{self.port}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.lines.extend(stream)

    def wait_for_line(self, pattern: str, patience_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait until a log line matches."""
        for _ in _until(patience_s):
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None and not self._reader.is_alive():
                break
        raise AssertionError(f"no line like {pattern!r} in:\n{''.join(self.lines)}")

    def wait_ready(self, status: int = 200) -> None:
        """Wait until ``/ready`` answers with the status."""
        self.wait_for(lambda: self.get("/ready").status_code == status)

    def wait_for(self, true: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        for _ in _until(PATIENCE_S):
            if true():
                return
        raise AssertionError(f"the condition never held; the log:\n{''.join(self.lines)}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path)

    def predict(self, inputs: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"inputs": inputs})

    def metric(self, series: str) -> float:
        """Return one value of ``/metrics``, such as ``target_rows_total``."""
        return metric(self.get("/metrics").text, series)

    def events(self) -> set[str]:
        """The events of the log lines so far."""
        return set(re.findall(r"^time=\S+ level=\w+ event=(\w+)", "".join(self.lines), re.MULTILINE))

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(sig)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[TargetProcess]:
    """A ready target that is stopped afterwards, even if the test fails."""
    target = TargetProcess(folder, **settings)
    try:
        target.wait_ready()
        yield target
    finally:
        end(target)


def end(target: TargetProcess) -> None:
    """Kill the process if it still runs."""
    if target.process.poll() is None:
        target.process.kill()
    target.wait()


@asynccontextmanager
async def in_process(folder: Path, **settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application on this event loop, with its model loaded; ``client.target`` is the Target."""
    target = build(read_settings(environment(folder, **settings)))
    managing = asyncio.create_task(target.model_manager.run())
    transport = httpx.ASGITransport(target.fast_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://target") as client:
        client.target = target
        while target.model_manager.current is None and target.model_manager.refused is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # ModelManager has no event to wait for
        yield client
        managing.cancel()
        await asyncio.gather(managing, return_exceptions=True)
        if target.model_manager.current is not None:
            target.model_manager.current.close()


def registry_of(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder / 'mlflow.db'}")


def log_model(folder: Path, flavor: str, model: Any, *, name: str, alias: str = "champion", **how: Any) -> str:
    """Register a model of any flavor, point the alias to it, and return its version."""
    registry = registry_of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = registry.client
        import importlib

        import mlflow

        found = client.get_experiment_by_name("loadstone-target")
        with mlflow.start_run(experiment_id=found.experiment_id):
            log = importlib.import_module(f"mlflow.{flavor}").log_model
            how.setdefault("pip_requirements", ["mlflow"])
            key = "python_model" if flavor == "pyfunc" else None
            given = {key: model} if key else {}
            info = log(*([] if key else [model]), name="model", registered_model_name=name, **given, **how)
        version = str(info.registered_model_version)
        client.set_registered_model_alias(name, alias, version)
    return version


def loaded(folder: Path, uri: str) -> Any:
    """Load the registry's model with MLflow's pyfunc; every serving mode must agree with it."""
    import mlflow

    registry = registry_of(folder)
    version = registry.resolve(parse_model_uri(uri))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlflow.pyfunc.load_model(version.uri)


def fresh_metrics() -> Metrics:
    return Metrics()


def _until(patience_s: float) -> Iterator[None]:
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        yield
        time.sleep(0.02)
