"""LocalStack: every process of a load test on one machine, started in order, watched, and stopped without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import uuid
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from loadstone.errors import PlatformError
from loadstone.launch.demo import DemoTarget, describe_target
from loadstone.launch.managed_process import ManagedProcess
from loadstone.launch.ports import free_port
from loadstone.launch.scenario import PLUGIN
from loadstone.launch.valkey import PrivateValkey
from loadstone.settings import InfluxSettings, as_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings

__all__ = ["LocalStack"]

_WORKERS_JOIN_WITHIN_S: Final = 60
_PYTHON: Final = sys.executable
_DEFAULT_RUN_TIME_S: Final = 60.0


class LocalStack:
    """A context that holds the parts. ``interactive`` gives the master its web UI and lets it wait for people."""

    def __init__(self, settings: RunSettings, scenario: Scenario, *, interactive: bool = False) -> None:
        self.settings = settings
        self.scenario = scenario
        self.interactive = interactive
        self.launch = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="loadstone-"))
        self.live_port = settings.live_port or free_port(settings.bind)
        self.master_port = settings.master_port or free_port(settings.bind)
        self.host = settings.host or (scenario.hosts[0] if scenario.hosts else "")
        self.redis_url = settings.redis_url or ""
        self.remote_redis_url = settings.redis_url
        self.target: ManagedProcess | None = None
        self.master: ManagedProcess | None = None
        self.workers: list[ManagedProcess] = []
        self._services: list[ManagedProcess] = []
        self._stream: ManagedProcess | None = None
        self._hook: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def parts(self) -> Iterator[ManagedProcess]:
        """Every part that was started, in the order in which they are to be stopped."""
        yield from self.workers
        yield from (part for part in (self.master, self.target) if part)
        yield from reversed(self._services)

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Start everything, in order. Raises a `LoadstoneError`; what was started is stopped by leaving the context."""
        _allow_many_files()
        self._start_stream()
        self._start_collectors()
        self._start_target(interrupted)
        if interrupted():
            return
        self._start_usage()
        self._start_locust()

    @property
    def live_url(self) -> str:
        """Where the live page is."""
        return f"http://{self._loopback()}:{self.live_port}/"

    def join_command(self) -> str:
        """How a worker on another machine joins; its Redis address holds a password."""
        files = " ".join(str(file) for file in self.scenario.files)
        where = f"--master {self.settings.bind} --master-port {self.master_port} --redis-url {self.remote_redis_url}"
        return f"more workers: loadstone worker {where} -f {files}"

    def restart_fallen(self, *, workers: bool) -> list[ManagedProcess]:
        """Start services, and workers too, again that ended by themselves. `PlatformError` when one falls too often.

        A worker that ends with status 0 was told to.
        """
        watched = (*self._services, *(self.workers if workers else ()))
        fallen = [part for part in watched if part.exit_code not in {None, 0}]
        for part in fallen:
            if not part.may_restart():
                raise PlatformError(f"{part.name} keeps ending (exit {part.exit_code}): {part.tail()}")
            part.restart()
        return fallen

    def stop(self) -> None:
        """Stop every part, the stream last, and remove the temporary folder."""
        parts = list(self.parts())
        for part in parts:
            if part is not self._stream:
                part.terminate()
        for part in parts:
            part.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_stream(self) -> None:
        if self.redis_url:
            return
        valkey = PrivateValkey.prepare(self.folder, self.settings.bind)
        valkey.part.start()
        self._services.append(valkey.part)
        self._stream = valkey.part
        valkey.wait_until_ready()
        self.redis_url, self.remote_redis_url = valkey.url, valkey.remote_url

    def _start_service(self, name: str, verb: str, values: dict[str, Any]) -> None:
        env = as_environment({"redis_url": self.redis_url, **values})
        argv = [_PYTHON, "-m", "loadstone", verb]
        part = ManagedProcess(
            name=name, argv=argv, env=env, log=self.folder / f"{name}.log", restarts=5, stop_timeout_s=30
        )
        part.start()
        self._services.append(part)

    def _start_collectors(self) -> None:
        """The Aggregator and, where there is an InfluxDB, its writer: two processes, so that one may fall alone."""
        settings = self.settings
        values: dict[str, Any] = {"results": settings.results.resolve()}
        live = {"live_bind": settings.bind, "live_port": self.live_port}
        if settings.influx_url:
            token_file = settings.influx_token_file
            values |= {field.name: getattr(settings, field.name) for field in fields(InfluxSettings)}
            values["influx_token_file"] = token_file.resolve() if token_file else None
        self._start_service("aggregator", "collector", {**values, **live, "only": "aggregator"})
        if settings.influx_url:
            self._start_service("writer", "collector", {**values, "only": "writer"})

    def _start_target(self, interrupted: Callable[[], bool]) -> None:
        if self.host:
            return
        demo = DemoTarget.prepare(self.settings, self.folder)
        self.target, self.host = demo.serve, demo.host
        demo.start(interrupted)

    def _samples_usage(self) -> bool:
        return bool(self.settings.target_pid) or self.target is not None

    def _start_usage(self) -> None:
        pids = self.settings.target_pid
        if self.target and self.target.process:
            pids = (*pids, self.target.process.pid)
        if self._samples_usage():
            self._start_service("usage", "usage", {"pid": ",".join(map(str, pids))})

    def _start_locust(self) -> None:
        self._hook = self._hook_environment()
        self.master = self._locust("master", ["--master", *self._master_arguments()])
        self.master.start()
        for number in range(1, self.settings.workers + 1):
            arguments = ["--worker", "--master-host", self._loopback(), "--master-port", str(self.master_port)]
            worker = self._locust(f"worker-{number}", [*arguments, *self._tags()], restarts=3)
            worker.start()
            self.workers.append(worker)

    def _locust(self, name: str, arguments: list[str], restarts: int = 0) -> ManagedProcess:
        files = ",".join(map(str, (*self.scenario.files, PLUGIN)))
        argv = [_PYTHON, "-m", "locust", "-f", files, *arguments, *self.scenario.arguments]
        return ManagedProcess(name=name, argv=argv, env=self._hook, log=self.folder / f"{name}.log", restarts=restarts)

    def _master_arguments(self) -> list[str]:
        settings = self.settings
        bind = ["--master-bind-host", settings.bind, "--master-bind-port", str(self.master_port)]
        load = ["--users", str(settings.users), "--spawn-rate", f"{settings.spawn_rate:g}"]
        stop = ["--stop-timeout", f"{settings.stop_timeout:g}", "--exit-code-on-error", "0", "--enable-rebalancing"]
        common = [*bind, *stop, "--host", self.host, *self._tags()]
        if self.interactive:
            return [*common, *load, "--web-host", settings.bind, "--web-port", str(settings.web_port)]
        expect = ["--expect-workers", str(settings.workers), "--expect-workers-max-wait", str(_WORKERS_JOIN_WITHIN_S)]
        return [*common, *(() if self.scenario.shape else load), *expect, "--headless", "--only-summary"]

    def _tags(self) -> list[str]:
        tags = ["--tags", *self.settings.tags] if self.settings.tags else []
        return [*tags, *(["--exclude-tags", *self.settings.exclude_tags] if self.settings.exclude_tags else [])]

    def _hook_environment(self) -> dict[str, str]:
        settings = self.settings
        return as_environment(
            {
                "redis_url": self.redis_url,
                "run_time": self.run_time(),
                "steady_state": settings.steady_state,
                "warmup": settings.warmup,
                "objective": "\n".join(settings.objective),
                "seed": settings.seed,
                "limits": json.dumps({"host_cores": os.cpu_count()}) if self._samples_usage() else None,
                "target": self._target_info(),
                "launch": self.launch,
                "live_url": self.live_url,
            }
        )

    def _target_info(self) -> str | None:
        """Only our own target is asked: a stranger's gets no request but the users', so counts on both sides agree."""
        found = describe_target(self.host) if self.target else None
        return json.dumps(found) if found else None

    def run_time(self) -> float | None:
        """How long the master lets the run last, in seconds; None where something else ends it."""
        if self.interactive or self.scenario.shape or self.settings.steady_state is not None:
            return None if self.interactive else self.settings.run_time
        return self.settings.run_time if self.settings.run_time is not None else _DEFAULT_RUN_TIME_S

    def _loopback(self) -> str:
        return "127.0.0.1" if self.settings.bind in {"0.0.0.0", "*"} else self.settings.bind  # noqa: S104


def _allow_many_files() -> None:
    """Each user holds a connection: let every process open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
