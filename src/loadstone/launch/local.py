"""LocalStack: every process of a load test on one machine, started in order, restarted and stopped together."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import tempfile
import time
import uuid
from dataclasses import fields
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from loadstone.domain.masking import mask_values
from loadstone.errors import PlatformError, UsageError
from loadstone.hook.inspect_scenario import PLUGIN_FILE
from loadstone.launch.demo import DemoTarget, TargetInfo, describe_target
from loadstone.launch.demo_files import is_demo_scenario
from loadstone.launch.held_start import HeldStart
from loadstone.launch.kept_logs import KeptLogs
from loadstone.launch.managed_process import ManagedProcess, ReservedPorts, in_url
from loadstone.launch.python import RUN_LOCUST, python_module
from loadstone.launch.stream_store import StreamFolder, holds_what_no_archive_has
from loadstone.launch.targets import targets_text, wants_demo_target
from loadstone.launch.valkey import PrivateValkey
from loadstone.report.console import tell_terminal
from loadstone.settings import HookOnlySettings, InfluxSettings, MaskSettings, as_environment, inherited_environment
from loadstone.stream.client import FAILURES, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from loadstone.launch.scenario import Scenario
    from loadstone.launch.target_limits import TargetLimits
    from loadstone.launch.watched import WatchedProject
    from loadstone.settings import RunSettings

__all__ = ["LocalStack"]

_WORKERS_JOIN_WITHIN_S: Final = 60
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_CHOOSING: Final = frozenset({"-T", "--tags", "-E", "--exclude-tags"})
"""Options of Locust that choose tasks, which its master does not send to workers."""
_SERVICE_RESTARTS: Final = 5
_WORKER_RESTARTS: Final = 3
_USAGE_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.02
_SERVICE_STOP_S: Final = 30.0
"""How long a service may take to store what it has read."""


class LocalStack:
    """A context that owns the processes. If ``interactive``, the master has its web UI and starts no run by itself.

    ``limits`` and ``identity`` of the target, as JSON, are recorded with the run; what a demo target says of itself
    comes first. ``target_limits``: how a demo target is started under such limits. What the containers of a ``watched``
    compose project use is recorded.
    """

    def __init__(
        self,
        settings: RunSettings,
        scenario: Scenario,
        *,
        interactive: bool = False,
        limits: Mapping[str, object] | None = None,
        identity: Mapping[str, object] | None = None,
        target_limits: TargetLimits | None = None,
        watched: WatchedProject | None = None,
        make_process: Callable[..., ManagedProcess] = ManagedProcess,
        ports: ReservedPorts | None = None,
    ) -> None:
        self.settings = settings
        self.scenario = scenario
        self.interactive = interactive
        self._watched = watched
        self.launch = uuid.uuid4().hex
        self._limits, self._identity, self._target_limits = limits or {}, identity or {}, target_limits
        self._make_process = make_process
        self._ports = ReservedPorts() if ports is None else ports
        self.live_port = settings.live_port or self._ports.reserve(settings.bind)
        self.master_port = settings.master_port or self._ports.reserve(settings.bind)
        self.folder = Path(tempfile.mkdtemp(prefix="loadstone-"))  # last of what can fail: nothing would remove it
        self._held = HeldStart(self.folder)
        self._beat = self.folder / "usage.beat"
        self.logs = KeptLogs(self.folder, settings.results)
        self.host = _host_for(settings, scenario)
        """What Locust gets as ``--host``: nothing unless the user or the demo target gives it."""
        self.redis_url = settings.redis_url or ""
        self.remote_redis_url = settings.redis_url
        self.target: ManagedProcess | None = None
        self.master: ManagedProcess | None = None
        self.workers: list[ManagedProcess] = []
        self._services: list[ManagedProcess] = []
        self._stream: PrivateValkey | None = None
        self._data: StreamFolder | None = None
        self.kept: Path | None = None
        """The data of the private server, if it had to be kept after the stack was stopped."""
        self._locust_env: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        wrong_use = kind is not None and issubclass(kind, UsageError)
        self.stop(keep_logs=not wrong_use and (kind is not None or not self.interactive))

    def processes(self) -> Iterator[ManagedProcess]:
        """Every process that was started, in the order in which to stop them."""
        yield from self.workers
        yield from (process for process in (self.master, self.target) if process)
        yield from reversed(self._services)

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Start everything in order, or raise a `LoadstoneError`. Leaving the context stops what was started.

        Locust's processes take as long to import their modules as a demo target does to load its model, so both do it
        at once; Locust's then wait until the target is ready.
        """
        _allow_many_files()
        self._start_stream()
        self._start_collectors()
        demo = self._prepare_target()
        if not demo:
            self._start_usage()
        self._start_locust()
        if demo:
            self._start_target(demo, interrupted)
        self._await_usage(interrupted)
        if not interrupted() and self.master:
            self._held.let_go((self.master, *self.workers), as_environment({"target": self._target_info()}))

    @property
    def targets(self) -> str:
        """The targets of the run as far as they are known before it, without secrets."""
        return self.host if self.target else targets_text(self.settings, self.scenario)

    @property
    def live_url(self) -> str:
        """Address of the live page."""
        return f"http://{in_url(self._loopback())}:{self.live_port}/"

    @property
    def web_url(self) -> str:
        """Address of Locust's web UI, in an ``interactive`` stack."""
        return f"http://{in_url(self._loopback())}:{self.settings.web_port}/"

    def join_command(self) -> str:
        """The command that adds a worker on another machine; its Redis address contains a password.

        Options of the scenario are not in it: Locust's master sends their values, which may be secret, to its workers.
        """
        where = ["--master", self.settings.bind, "--master-port", str(self.master_port)]
        redis = ["--loadstone-redis-url", self.remote_redis_url or ""]
        files = ",".join(map(str, self.scenario.files))
        chosen = [*self._tags(), *_chosen(self.scenario.arguments)]
        words = ["loadstone", "worker", *where, *redis, "-f", files, *(["--", *chosen] if chosen else [])]
        return f"more workers: {shlex.join(words)}"

    def restart_crashed(self, *, workers: bool) -> list[ManagedProcess]:
        """Restart crashed services, and with ``workers`` crashed workers too; return the processes that were restarted.

        A worker that exits with status 0 quit on request. Raises `PlatformError` when a process crashes too often.
        """
        watched = (*self._services, *(self.workers if workers else ()))
        crashed = [process for process in watched if process.exit_code not in {None, 0}]
        for process in crashed:
            if not process.may_restart():
                raise PlatformError(f"{process.name} keeps crashing (exit {process.exit_code}): {process.tail()}")
            process.restart()
        return crashed

    def stop(self, *, keep_logs: bool = False) -> None:
        """Stop every process, Valkey last, remove the temporary folder and give the ports back.

        The data of Valkey is removed when every run in it is closed, and is ``kept`` otherwise. The logs of runs are
        kept; ``keep_logs``: also where no run began.
        """
        stream = self._stream.process if self._stream else None
        processes = [process for process in self.processes() if process is not stream]
        for process in processes:
            process.terminate()
        for process in processes:
            process.stop()
        self._stop_stream()
        self._ports.release()
        if told := self.logs.keep(even_without_run=keep_logs):
            tell_terminal(told)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_stream(self) -> None:
        if self.redis_url:
            return
        self._data = StreamFolder.create(self.settings.results.resolve())
        log = self.folder / "valkey.log"
        valkey = PrivateValkey.prepare(self._data, log, self.settings.bind, self._ports, self._make_process)
        self._stream = valkey
        self._services.append(valkey.process)
        valkey.process.start()
        valkey.wait_until_ready()
        self.redis_url, self.remote_redis_url = valkey.url, valkey.remote_url

    def _stop_stream(self) -> None:
        data, self._data = self._data, None
        needed = data is not None and self._is_stream_needed(data)
        if self._stream is not None:
            self._stream.process.stop()
            self._stream.remove_socket()
        if data is not None and needed:
            self.kept = data.path
            data.release()
        elif data is not None:
            data.remove()

    def _is_stream_needed(self, data: StreamFolder) -> bool:
        """Whether it holds what no archive has; data does when nobody answers who could tell."""
        if not self.redis_url:
            return data.has_data
        client = connect(self.redis_url)
        try:
            return holds_what_no_archive_has(client)
        except FAILURES:
            return data.has_data
        finally:
            client.close()

    def _start_service(self, name: str, verb: str, values: Mapping[str, object]) -> None:
        env = {**inherited_environment(MaskSettings), **as_environment({"redis_url": self.redis_url, **values})}
        argv = python_module("loadstone", verb)
        log = self.folder / f"{name}.log"
        service = self._make_process(
            name=name, argv=argv, env=env, log=log, restarts=_SERVICE_RESTARTS, stop_timeout_s=_SERVICE_STOP_S
        )
        service.start()
        self._services.append(service)

    def _start_collectors(self) -> None:
        """The Aggregator and, with an InfluxDB, the InfluxWriter, in two processes so that one can crash alone."""
        settings = self.settings
        values: dict[str, object] = {"results": settings.results.resolve()}
        live = {"live_bind": settings.bind, "live_port": self.live_port, "allowed_hosts": self._allowed_hosts()}
        if settings.influx_url:
            token_file = settings.influx_token_file
            values |= {field.name: getattr(settings, field.name) for field in fields(InfluxSettings)}
            values["influx_token_file"] = token_file.resolve() if token_file else None
        self._start_service("aggregator", "collector", {**values, **live, "only": "aggregator"})
        if settings.influx_url:
            self._start_service("writer", "collector", {**values, "only": "writer"})

    def _prepare_target(self) -> DemoTarget | None:
        if not wants_demo_target(self.settings, self.scenario):
            return None
        prefix = self._target_limits.prefix if self._target_limits else ()
        demo = DemoTarget.prepare(self.settings, self.folder, self._ports, self._make_process, prefix)
        self.target, self.host = demo.serve, demo.host
        return demo

    def _start_target(self, demo: DemoTarget, interrupted: Callable[[], bool]) -> None:
        under = self._target_limits
        try:
            demo.start(interrupted, self._start_usage)
        except PlatformError as error:
            if under is None or demo.serve.process is None:  # training has no limits
                raise
            raise under.broke(error) from error
        if under and demo.serve.process and not interrupted():
            under.confirm(demo.serve.process.pid)

    def _samples_usage(self) -> bool:
        return bool(self.settings.target_pid) or self.target is not None or self._watched is not None

    def _start_usage(self) -> None:
        """Start what samples usage, if there is anything to sample."""
        pids = self.settings.target_pid
        if self.target and self.target.process:
            pids = (*pids, self.target.process.pid)
        if self._samples_usage():
            watched = self._watched
            containers = {"compose_project": watched.project, "docker_socket": watched.socket} if watched else {}
            found = {"pid": ",".join(map(str, pids)), "heartbeat_file": self._beat, **containers}
            self._start_service("usage", "usage", found)

    def _await_usage(self, interrupted: Callable[[], bool]) -> None:
        """Wait until usage is sampled, so that the first seconds of a run have it too; not for long."""
        deadline_s = time.monotonic() + _USAGE_WITHIN_S
        usage = next((each for each in self._services if each.name == "usage"), None)
        while usage and usage.alive and not self._beat.exists() and not interrupted():
            if time.monotonic() > deadline_s:
                break
            time.sleep(_LOOK_EVERY_S)

    def _start_locust(self) -> None:
        self._locust_env = self._hook_environment()
        host = ("--host", self.host) if self.host else ()
        hidden = [*self.scenario.arguments, *self.scenario.master_arguments, *host]
        self.master = self._locust("master", ["--master", *self._master_arguments()], hidden)
        self.master.start()
        for number in range(1, self.settings.workers + 1):
            arguments = ["--worker", "--master-host", self._loopback(), "--master-port", str(self.master_port)]
            arguments += self._tags()
            worker = self._locust(f"worker-{number}", arguments, self.scenario.arguments, restarts=_WORKER_RESTARTS)
            worker.start()
            self.workers.append(worker)

    def _locust(self, name: str, arguments: list[str], hidden: Sequence[str], restarts: int = 0) -> ManagedProcess:
        """A Locust process; what the user gave is ``hidden`` from its command line, which everybody here can list."""
        files = ",".join(map(str, (*self.scenario.files, PLUGIN_FILE)))
        argv = python_module(RUN_LOCUST, "-f", files, *arguments)
        env = {**self._locust_env, **as_environment({"locust_arguments": _json(hidden)})}
        return self._make_process(name=name, argv=argv, env=env, log=self.folder / f"{name}.log", restarts=restarts)

    def _master_arguments(self) -> list[str]:
        settings = self.settings
        bind = ["--master-bind-host", settings.bind, "--master-bind-port", str(self.master_port)]
        load = ["--users", str(settings.users), "--spawn-rate", f"{settings.spawn_rate:g}"]
        stop = ["--stop-timeout", f"{settings.stop_timeout:g}", "--enable-rebalancing"]
        common = [*bind, *stop, *self._tags()]
        if self.interactive:
            return [*common, *load, "--web-host", settings.bind, "--web-port", str(settings.web_port)]
        expect = ["--expect-workers", str(settings.workers), "--expect-workers-max-wait", str(_WORKERS_JOIN_WITHIN_S)]
        return [*common, *self._shape_options(load), *expect, "--headless", "--only-summary"]

    def _shape_options(self, load: list[str]) -> list[str]:
        """The load, for whom it concerns: a load shape decides by itself, unless it reads Locust's own options."""
        if not self.scenario.shape:
            return load
        if not self.scenario.shape_takes_options:
            return []
        run_time = self.settings.run_time
        return [*load, *(() if run_time is None else ("--run-time", f"{ceil(run_time)}"))]

    def _tags(self) -> list[str]:
        tags = ["--tags", *self.settings.tags] if self.settings.tags else []
        return [*tags, *(["--exclude-tags", *self.settings.exclude_tags] if self.settings.exclude_tags else [])]

    def _hook_environment(self) -> dict[str, str]:
        settings = self.settings
        known = as_environment(
            {
                "redis_url": self.redis_url,
                "run_time": self.run_time(),
                "steady_state": settings.steady_state,
                "warmup": settings.warmup,
                "objective": "\n".join(settings.objective),
                "seed": settings.seed,
                "rate": "\n".join(settings.rate),
                "arrivals": settings.arrivals,
                "max_users": settings.max_users,
                "limits": self._known_limits(),
                "launch": self.launch,
                "live_url": self.live_url,
                "allowed_hosts": self._allowed_hosts(),
                "locust_words": _json(self.scenario.unlisted_arguments),
            }
        )
        inherited = {name: text for name, text in inherited_environment(HookOnlySettings).items() if text}
        return {**as_environment({"web_guard": "all"}), **inherited, **known, **self._held.environment}

    def _allowed_hosts(self) -> str:
        return " ".join(self.settings.allowed_hosts)

    def _known_limits(self) -> str | None:
        host = {"host_cores": os.cpu_count()} if self._samples_usage() else {}
        limits = {**self._limits, **host}
        return _json(limits) if limits else None

    def _target_info(self) -> str | None:
        info = self._described_target()
        known = {**self._identity, **(mask_values(msgspec.to_builtins(info)) if info else {})}
        return _json(known) if known else None

    def _described_target(self) -> TargetInfo | None:
        """Ask the demo target, and any other one only for its model version, if that is to be tagged.

        Others get nothing but the users' requests, so the counts of both sides agree.
        """
        settings, hosts = self.settings, [self.host] if self.host else list(self.scenario.hosts)
        is_asked = self.target is not None or settings.tag_model or settings.tagged_model is not None
        return describe_target(hosts[0]) if is_asked and len(hosts) == 1 else None

    def run_time(self) -> float | None:
        """The length of the run in seconds that the master enforces; None where something else ends it.

        As with Locust, that is a load shape for as long as it gives users, whatever run time it is given.
        """
        if self.interactive:
            return None
        return None if self.scenario.shape else self.settings.planned_run_time

    def _loopback(self) -> str:
        return _LOOPBACK_OF.get(self.settings.bind, self.settings.bind)


def _host_for(settings: RunSettings, scenario: Scenario) -> str:
    """The user's host unchanged, as Locust puts paths behind it; those of the demo scenario begin with a slash."""
    host = settings.host or ""
    return host.rstrip("/") if is_demo_scenario(scenario.files) else host


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _allow_many_files() -> None:
    """Raise the open-file limit as far as the system allows, since each user holds a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _chosen(arguments: Iterable[str]) -> Iterator[str]:
    """The user classes, which come first, and the tags that choose the tasks to run."""
    chosen = True
    for word in arguments:
        if word.startswith("-"):
            chosen = word.partition("=")[0] in _CHOOSING
        if chosen:
            yield word
