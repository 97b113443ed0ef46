"""The settings records: one per kind of process, each filled by `loadstone.settings.load`; the hook's are in `hook`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadstone.settings import parse
from loadstone.settings.load import given_names, setting

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CollectorSettings",
    "DoctorSettings",
    "GrafanaAnnotateSettings",
    "GrafanaPushSettings",
    "GrafanaSettings",
    "InfluxSettings",
    "InfluxSetupSettings",
    "RunSettings",
    "UsageSettings",
    "WorkerSettings",
]

_LEAST_WORKERS = 2
_HIGHEST_PORT = 65535
_DEFAULT_RUN_TIME_S = 60.0
_WORKERS = str(max(_LEAST_WORKERS, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSettings:
    """The InfluxDB that receives every request in addition to the archive."""

    influx_url: str | None = setting(
        parse.http_url,
        "address of an InfluxDB to which every request is written, in addition to the archive",
        metavar="URL",
    )
    influx_org: str = setting(parse.text, "InfluxDB organization", default="loadstone", metavar="NAME")
    influx_bucket: str = setting(parse.text, "InfluxDB bucket", default="loadstone", metavar="NAME")
    influx_token_file: Path | None = setting(
        parse.path, "file that contains the InfluxDB token and nothing else", metavar="FILE"
    )
    influx_timeout: float = setting(
        parse.positive_duration_s, "timeout of one write to InfluxDB", default="10s", metavar="TIME"
    )
    influx_retry: float = setting(
        parse.positive_duration_s,
        "pause before the next try after InfluxDB rejected the token, bucket or address",
        default="30s",
        metavar="TIME",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSetupSettings(InfluxSettings):
    """Settings of ``loadstone setup influx``, from the environment only."""

    influx_retention: float = setting(
        parse.retention_s, "retention of the bucket, at least 1h (0: keep points forever)", default="30d"
    )
    influx_admin_token_file: Path = setting(
        parse.path,
        "file that contains the admin token that InfluxDB was set up with",
        default="/run/secrets/admin_token",
    )
    influx_reader: str = setting(parse.text, "name of the read-only user", default="grafana")
    influx_reader_password_file: Path = setting(
        parse.path, "file that contains the password of the read-only user", default="/run/secrets/grafana_password"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings(InfluxSettings):
    """Settings of ``loadstone run`` and ``loadstone up``."""

    given: frozenset[str] = given_names()
    locustfile: tuple[Path, ...] = setting(
        parse.paths,
        "scenario: Locust files, or folders that contain them, separated by commas; without it ./locustfile.py",
        metavar="FILE",
        repeatable=True,
        one_each=True,
        short="-f",
    )
    import_timeout: float = setting(
        parse.positive_duration_s, "how long the scenario may take to load before a run", default="60s", metavar="TIME"
    )
    host: str | None = setting(
        parse.target,
        "base URL of the target, in place of the hosts that the scenario's classes have",
        metavar="URL",
        short="-H",
    )
    users: int = setting(parse.whole_number(1), "peak number of users", default="50", metavar="N", short="-u")
    spawn_rate: float = setting(
        parse.number_above(0), "users started per second", default="10", metavar="N", short="-r"
    )
    rate: tuple[str, ...] = setting(
        parse.lines,
        "open model: how many iterations arrive, such as 500/s, 30000/m or, with --over, 100/s..1000/s; repeated, each"
        " with its duration: '100/s..1000/s over 5m'",
        metavar="RATE",
        repeatable=True,
    )
    over: float | None = setting(parse.positive_duration_s, "how long the one --rate lasts or changes", metavar="TIME")
    arrivals: str = setting(
        parse.choice("poisson", "constant"),
        "how arrivals are spread in time: poisson, as those of independent callers, or constant",
        default="poisson",
        metavar="SPREAD",
    )
    max_users: int | None = setting(
        parse.whole_number(1),
        "with --rate, in place of --users: how many iterations may go on at once (as many as arrive in two seconds)",
        metavar="N",
    )
    run_time: float | None = setting(
        parse.duration_s,
        "length of the run, ramp included (60s; a load shape decides by itself)",
        metavar="TIME",
        short="-t",
    )
    steady_state: float | None = setting(
        parse.duration_s, "how long to hold all users after ramp and warm-up, instead of --run-time", metavar="TIME"
    )
    warmup: float = setting(
        parse.duration_s, "time after the ramp that objectives do not cover", default="0s", metavar="TIME"
    )
    stop_timeout: float = setting(
        parse.duration_s,
        "how long requests in flight may take to finish when the run ends",
        default="10s",
        metavar="TIME",
    )
    objective: tuple[str, ...] = setting(
        parse.lines,
        "objective for the measurement window, such as 'p95<500ms' or 'failures<=0.1%' (repeatable)",
        metavar="TEXT",
        repeatable=True,
    )
    tags: tuple[str, ...] = setting(
        parse.words, "run only tasks with one of these tags", metavar="TAG", repeatable=True, short="-T"
    )
    exclude_tags: tuple[str, ...] = setting(
        parse.words, "skip tasks with one of these tags", metavar="TAG", repeatable=True, short="-E"
    )
    seed: int | None = setting(
        parse.whole_number(0), "seed of each worker's random numbers, to make runs repeatable", metavar="N"
    )
    workers: int = setting(
        parse.whole_number(1),
        "number of worker processes",
        default=_WORKERS,
        metavar="N",
    )
    results: Path = setting(
        parse.path, "results folder, in which each run gets its own folder", default="results", metavar="DIR"
    )
    redis_url: str | None = setting(
        parse.redis_url, "Redis or Valkey to use; without it a private Valkey is started", metavar="URL"
    )
    bind: str = setting(
        parse.host,
        "address on which Locust's master and web UI and the live page listen",
        default="127.0.0.1",
        metavar="ADDRESS",
    )
    master_port: int = setting(
        parse.port,
        "port of the Locust master, to which workers connect (0: any free port)",
        default="0",
        metavar="PORT",
    )
    web_port: int = setting(parse.port, "port of Locust's web UI (`up` only)", default="8089", metavar="PORT")
    live_port: int = setting(parse.port, "port of the live page (0: any free port)", default="0", metavar="PORT")
    demo_port: int = setting(parse.port, "port of the demo target (0: any free port)", default="0", metavar="PORT")
    demo_model: str | None = setting(
        parse.text,
        "model for the demo target, such as models:/NAME@ALIAS; without it a small model is trained",
        metavar="URI",
    )
    demo_registry: str | None = setting(
        parse.text,
        "MLflow registry that holds --demo-model; without it the demo's own, in .cache/demo",
        metavar="URI",
    )
    tag_model: bool = setting(
        parse.boolean,
        "write the result as tags of the model version that the target served, and as an MLflow run, into its registry:"
        " that of MLFLOW_TRACKING_URI, or the demo target's own (not with `up`)",
        default="no",
        flag=True,
    )
    tagged_model: str | None = setting(
        parse.text,
        "model version to tag where the target does not tell which one it serves: models:/NAME/VERSION or"
        " models:/NAME@ALIAS; stands for --tag-model too",
        metavar="URI",
    )
    allowed_hosts: tuple[str, ...] = setting(
        parse.allowed_hosts,
        "further host names under which web UI and live page may be opened; *.NAME: all below one, *: every name",
        metavar="NAME",
        repeatable=True,
    )
    target_pid: tuple[int, ...] = setting(
        lambda value: tuple(map(parse.whole_number(1), parse.words(value))),
        "process ids of the target on this machine; CPU and memory are recorded, child processes included",
        metavar="PID",
        repeatable=True,
    )
    influx_drain: float = setting(
        parse.duration_s,
        "how long to wait at the end of a run until InfluxDB has received everything",
        default="30s",
        metavar="TIME",
    )
    stack: bool = setting(
        parse.boolean,
        "run in the compose stack that is up, instead of starting processes here",
        default="no",
        flag=True,
    )
    stack_url: str = setting(
        parse.http_url, "address of the stack's Locust web UI", default="http://127.0.0.1:8089", metavar="URL"
    )
    stack_token_file: Path | None = setting(
        parse.path,
        "file that contains the control token of the stack's master; needed where its web UI asks for a login",
        metavar="FILE",
    )
    plain: bool = setting(parse.boolean, "print plain lines instead of the live view", default="no", flag=True)

    @property
    def planned_run_time(self) -> float | None:
        """Seconds from the start of the run to its end: a minute, unless something else is to end it."""
        return _DEFAULT_RUN_TIME_S if self.run_time is None and self.steady_state is None else self.run_time

    @property
    def steady_after_ramp(self) -> float | None:
        """Seconds from the end of the ramp to the end of the run; None without a steady state."""
        return None if self.steady_state is None else self.warmup + self.steady_state


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of ``loadstone worker``."""

    master: str = setting(parse.host, "host of the Locust master", default="127.0.0.1", metavar="HOST")
    master_port: int = setting(
        parse.whole_number(1, _HIGHEST_PORT), "port of the Locust master", default="5557", metavar="PORT"
    )
    redis_url: str | None = setting(parse.redis_url, "Redis or Valkey that the master uses", metavar="URL")
    locustfile: tuple[Path, ...] = setting(
        parse.paths,
        "scenario; without it the master's is used",
        metavar="FILE",
        repeatable=True,
        one_each=True,
        short="-f",
    )
    import_timeout: float = setting(
        parse.positive_duration_s, "how long the scenario may take to load at the start", default="60s", metavar="TIME"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings(InfluxSettings):
    """Settings of the Aggregator and the InfluxWriter."""

    redis_url: str = setting(
        parse.redis_url, "Redis or Valkey to read from", default="redis://127.0.0.1:6379/0", metavar="URL"
    )
    results: Path = setting(
        parse.path, "results folder, in which each run gets its own folder", default="results", metavar="DIR"
    )
    live_bind: str = setting(
        parse.host, "address on which the live page listens", default="127.0.0.1", metavar="ADDRESS"
    )
    live_port: int | None = setting(
        parse.port, "port of the live page (0: any free port); without it there is no live page", metavar="PORT"
    )
    allowed_hosts: tuple[str, ...] = setting(
        parse.allowed_hosts,
        "further host names under which the live page may be opened; *.NAME: all below one, *: every name",
        metavar="NAME",
        repeatable=True,
    )
    only: str | None = setting(
        parse.choice("aggregator", "writer"),
        "run only one of the two services: aggregator or writer",
        metavar="SERVICE",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings(InfluxSettings):
    """Settings of ``loadstone doctor``, which checks only what is named."""

    redis_url: str | None = setting(parse.redis_url, "Redis or Valkey to check", metavar="URL")
    host: str | None = setting(parse.http_url, "base URL of the target to check", metavar="URL", short="-H")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaSettings:
    """The Grafana that ``loadstone grafana`` works on."""

    url: str | None = setting(
        parse.http_url, "address of your Grafana", metavar="URL", variable="LOADSTONE_GRAFANA_URL"
    )
    token_file: Path | None = setting(
        parse.path,
        "file that contains the token of a Grafana service account and nothing else",
        metavar="FILE",
        variable="LOADSTONE_GRAFANA_TOKEN_FILE",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaPushSettings(GrafanaSettings):
    """Settings of ``loadstone grafana push``."""

    dashboards: Path | None = setting(
        parse.path,
        "folder of the boards to push; without it the repository's",
        metavar="DIR",
        variable="LOADSTONE_GRAFANA_DASHBOARDS",
    )
    influx_url: str | None = setting(
        parse.http_url, "address of InfluxDB as Grafana reaches it, for the data source", metavar="URL"
    )
    influx_bucket: str = setting(parse.text, "InfluxDB bucket", default="loadstone", metavar="NAME")
    influx_token_file: Path | None = setting(
        parse.path, "file that contains a token that may read the bucket, and nothing else", metavar="FILE"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaAnnotateSettings(GrafanaSettings):
    """Settings of ``loadstone grafana annotate``."""

    board: str | None = setting(
        parse.text,
        "uid of the one board on which to mark the run; without it every board that shows the tag `loadstone`",
        metavar="UID",
        variable="LOADSTONE_GRAFANA_BOARD",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSettings:
    """Settings of the UsageSampler."""

    redis_url: str = setting(
        parse.redis_url, "Redis or Valkey to write to", default="redis://127.0.0.1:6379/0", metavar="URL"
    )
    pid: tuple[int, ...] = setting(
        lambda value: tuple(map(parse.whole_number(1), parse.words(value))),
        "ids of the processes to sample, each with its child processes",
        metavar="PID",
        repeatable=True,
    )
    service: str = setting(
        parse.text, "service name under which these processes are recorded", default="target", metavar="NAME"
    )
    cadvisor_url: str | None = setting(parse.http_url, "cAdvisor from which container usage is read", metavar="URL")
    docker_socket: Path | None = setting(
        parse.path,
        "socket of the Docker Engine, for out-of-memory kills, and for everything when no cAdvisor answers",
        metavar="FILE",
    )
    compose_project: str | None = setting(parse.text, "compose project whose containers are recorded", metavar="NAME")
    balancer_url: str | None = setting(parse.http_url, "address of HAProxy's statistics page", metavar="URL")
    heartbeat_file: Path | None = setting(
        parse.path, "file that is touched with every sample, for health checks", metavar="FILE"
    )
