"""The settings records: one per kind of process, each filled by `loadstone.settings.load`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadstone.settings import parse
from loadstone.settings.load import setting

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CollectorSettings",
    "DoctorSettings",
    "GrafanaSettings",
    "HookSettings",
    "InfluxSettings",
    "InfluxSetupSettings",
    "RunRequest",
    "RunSettings",
    "UsageSettings",
    "WorkerSettings",
]

_LEAST_WORKERS = 2
_HIGHEST_PORT = 65535
_WORKERS = str(max(_LEAST_WORKERS, os.cpu_count() or 1))


def _json_object(value: str) -> dict[str, Any]:
    try:
        loaded = json.loads(value)
    except ValueError:
        raise ValueError("a JSON object") from None
    if not isinstance(loaded, dict):
        raise ValueError("a JSON object")  # noqa: TRY004  (a value of the wrong kind, told like every other)
    return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSettings:
    """Where every request goes besides the archive, for whoever has to do with InfluxDB."""

    influx_url: str | None = setting(
        parse.http_url,
        "address of an InfluxDB that gets every request besides the archive",
        metavar="URL",
    )
    influx_org: str = setting(parse.text, "organisation in InfluxDB", default="loadstone", metavar="NAME")
    influx_bucket: str = setting(parse.text, "bucket in InfluxDB", default="loadstone", metavar="NAME")
    influx_token_file: Path | None = setting(
        parse.path, "file that holds the token for InfluxDB, and nothing else", metavar="FILE"
    )
    influx_timeout: float = setting(
        parse.positive_duration_s, "how long InfluxDB may take for one write", default="10s", metavar="TIME"
    )
    influx_retry: float = setting(
        parse.positive_duration_s,
        "how long to wait after InfluxDB refused token, bucket or address",
        default="30s",
        metavar="TIME",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSetupSettings(InfluxSettings):
    """What the stack's one-shot that prepares InfluxDB is told, by environment only."""

    influx_retention: float = setting(parse.duration_s, "how long points are kept, 0 for ever", default="30d")
    influx_admin_token_file: Path = setting(
        parse.path, "file with the admin token that InfluxDB was set up with", default="/run/secrets/admin_token"
    )
    influx_reader: str = setting(parse.text, "name of the user that may only read", default="grafana")
    influx_reader_password_file: Path = setting(
        parse.path, "file with that user's password", default="/run/secrets/grafana_password"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings(InfluxSettings):
    """Everything ``loadstone run`` and ``loadstone up`` can be told."""

    locustfile: tuple[Path, ...] = setting(
        lambda value: tuple(map(parse.path, parse.words(value))),
        "the scenario: one or more Locust files or folders of them",
        metavar="FILE",
        repeatable=True,
        short="-f",
    )
    host: str | None = setting(
        parse.http_url, "base address of the target; without it the demo target starts", metavar="URL", short="-H"
    )
    users: int = setting(parse.whole_number(1), "peak number of users", default="50", metavar="N", short="-u")
    spawn_rate: float = setting(
        parse.number_above(0), "users started per second", default="10", metavar="N", short="-r"
    )
    run_time: float | None = setting(
        parse.duration_s,
        "how long the run lasts, ramp included (60s, unless the scenario has a load shape)",
        metavar="TIME",
        short="-t",
    )
    steady_state: float | None = setting(
        parse.duration_s, "how long to hold all users after ramp and warm-up, instead of --run-time", metavar="TIME"
    )
    warmup: float = setting(
        parse.duration_s, "time after the ramp that objectives leave out", default="0s", metavar="TIME"
    )
    stop_timeout: float = setting(
        parse.duration_s, "time that requests in flight get to finish at the end", default="10s", metavar="TIME"
    )
    objective: tuple[str, ...] = setting(
        parse.lines,
        "what must hold in the window, such as 'p95<500ms' or 'failures<=0.1%' (repeatable)",
        metavar="TEXT",
        repeatable=True,
    )
    tags: tuple[str, ...] = setting(
        parse.words, "run only tasks with one of these tags", metavar="TAG", repeatable=True, short="-T"
    )
    exclude_tags: tuple[str, ...] = setting(
        parse.words, "leave out tasks with one of these tags", metavar="TAG", repeatable=True, short="-E"
    )
    seed: int | None = setting(
        parse.whole_number(0), "seed of each worker's random numbers, for runs that repeat", metavar="N"
    )
    workers: int = setting(
        parse.whole_number(1), "worker processes (default: one per core, at least 2)", default=_WORKERS, metavar="N"
    )
    results: Path = setting(parse.path, "folder that receives one folder per run", default="results", metavar="DIR")
    redis_url: str | None = setting(
        parse.redis_url, "Redis or Valkey to use; without it a private one is started", metavar="URL"
    )
    bind: str = setting(
        parse.text, "address that the Locust master and web UI listen on", default="127.0.0.1", metavar="ADDRESS"
    )
    master_port: int = setting(
        parse.port, "port of the Locust master, where workers join (0: a free one)", default="0", metavar="PORT"
    )
    web_port: int = setting(parse.port, "port of Locust's web UI (`up` only)", default="8089", metavar="PORT")
    live_port: int = setting(parse.port, "port of the live page (0: a free one)", default="0", metavar="PORT")
    target_port: int = setting(parse.port, "port of the demo target (0: a free one)", default="0", metavar="PORT")
    model: str | None = setting(
        parse.text,
        "what the demo target serves, such as models:/NAME@ALIAS; without it a small model is trained",
        metavar="URI",
        variable="MODEL_URI",
    )
    registry: str | None = setting(
        parse.text,
        "MLflow registry that has --model (default: the demo's own, in .cache/demo)",
        metavar="URI",
        variable="MLFLOW_TRACKING_URI",
    )
    target_pid: tuple[int, ...] = setting(
        lambda value: tuple(map(parse.whole_number(1), parse.words(value))),
        "processes of the target on this machine, whose CPU and memory are recorded with their children's",
        metavar="PID",
        repeatable=True,
    )
    influx_drain: float = setting(
        parse.duration_s, "how long to wait at the end until InfluxDB has everything", default="30s", metavar="TIME"
    )
    stack: bool = setting(
        parse.boolean, "drive the running compose stack instead of starting everything here", default="no", flag=True
    )
    stack_url: str = setting(
        parse.http_url, "where the stack's Locust web UI is", default="http://127.0.0.1:8089", metavar="URL"
    )
    plain: bool = setting(parse.boolean, "plain lines instead of the live view", default="no", flag=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a running master is asked for over HTTP (`loadstone run --stack`), for one run."""

    users: int = setting(parse.whole_number(1), "peak number of users", default="50")
    spawn_rate: float = setting(parse.number_above(0), "users started per second", default="10")
    host: str | None = setting(parse.http_url, "base address of the target; without it that of the stack")
    run_time: float | None = setting(parse.duration_s, "when the run ends, from its start")
    steady_state: float | None = setting(parse.duration_s, "when it ends, from ramp and warm-up done")
    warmup: float = setting(parse.duration_s, "time after the ramp that objectives leave out", default="0")
    objective: tuple[str, ...] = setting(parse.lines, "what must hold in the window", repeatable=True)
    seed: int | None = setting(parse.whole_number(0), "seed of each worker's random numbers")
    launch: str | None = setting(parse.text, "who asked, to find the run again")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """What the hook inside Locust's processes is told, by environment only."""

    redis_url: str | None = setting(parse.redis_url, "where batches and events go; without it nothing is recorded")
    run_time: float | None = setting(parse.duration_s, "when the master ends the run, from its start")
    steady_state: float | None = setting(parse.duration_s, "when the master ends the run, from ramp and warm-up done")
    warmup: float = setting(parse.duration_s, "time after the ramp that objectives leave out", default="0")
    objective: tuple[str, ...] = setting(parse.lines, "what must hold in the window", repeatable=True)
    seed: int | None = setting(parse.whole_number(0), "seed of each worker's random numbers")
    target: dict[str, Any] | None = setting(_json_object, "what the target says of itself")
    limits: dict[str, Any] | None = setting(_json_object, "CPU and memory limits that the target runs with")
    launch: str | None = setting(parse.text, "who started these processes, to find the run again")
    live_url: str | None = setting(parse.http_url, "where the live page is, to show it in Locust's web UI")
    live_link: str | None = setting(parse.http_url, "where browsers find the live page, if that is another address")
    grafana_link: str | None = setting(parse.http_url, "where browsers find Grafana")
    heartbeat_file: Path | None = setting(
        parse.path, "file that a worker touches while it hears its master, for health checks"
    )
    fast_http_mend: bool = setting(
        parse.boolean, "mend FastHttpUser's lost keep-alive above 1,000 users a process", default="yes"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What ``loadstone worker`` is told."""

    master: str = setting(parse.text, "host of the Locust master", default="127.0.0.1", metavar="HOST")
    master_port: int = setting(
        parse.whole_number(1, _HIGHEST_PORT), "port of the Locust master", default="5557", metavar="PORT"
    )
    redis_url: str | None = setting(parse.redis_url, "Redis or Valkey that the master uses", metavar="URL")
    locustfile: tuple[Path, ...] = setting(
        lambda value: tuple(map(parse.path, parse.words(value))),
        "the scenario; without it the master's is used",
        metavar="FILE",
        repeatable=True,
        short="-f",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings(InfluxSettings):
    """What the Aggregator and the InfluxWriter are told."""

    redis_url: str = setting(
        parse.redis_url, "Redis or Valkey to read from", default="redis://127.0.0.1:6379/0", metavar="URL"
    )
    results: Path = setting(parse.path, "folder that receives one folder per run", default="results", metavar="DIR")
    live_bind: str = setting(
        parse.text, "address that the live page listens on", default="127.0.0.1", metavar="ADDRESS"
    )
    live_port: int | None = setting(
        parse.port, "port of the live page (0: a free one; without it there is none)", metavar="PORT"
    )
    only: str | None = setting(
        parse.choice("aggregator", "writer"),
        "run one of the two services alone: aggregator or writer",
        metavar="SERVICE",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings(InfluxSettings):
    """What ``loadstone doctor`` is to look at; what is not named is not checked."""

    redis_url: str | None = setting(parse.redis_url, "Redis or Valkey to check", metavar="URL")
    host: str | None = setting(parse.http_url, "base address of the target", metavar="URL", short="-H")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaSettings:
    """What ``loadstone grafana`` is told."""

    url: str | None = setting(
        parse.http_url, "address of your Grafana", metavar="URL", variable="LOADSTONE_GRAFANA_URL"
    )
    token_file: Path | None = setting(
        parse.path,
        "file that holds the token of a service account, and nothing else",
        metavar="FILE",
        variable="LOADSTONE_GRAFANA_TOKEN_FILE",
    )
    dashboards: Path | None = setting(
        parse.path,
        "folder of the boards to push (the repository's without it)",
        metavar="DIR",
        variable="LOADSTONE_GRAFANA_DASHBOARDS",
    )
    influx_url: str | None = setting(
        parse.http_url, "address of InfluxDB as Grafana reaches it, for the data source", metavar="URL"
    )
    influx_bucket: str = setting(parse.text, "bucket in InfluxDB", default="loadstone", metavar="NAME")
    influx_token_file: Path | None = setting(
        parse.path, "file that holds a token that reads the bucket, and nothing else", metavar="FILE"
    )
    board: str | None = setting(
        parse.text,
        "uid of the one board on which a run is marked (all boards that ask for the tag without it)",
        metavar="UID",
        variable="LOADSTONE_GRAFANA_BOARD",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSettings:
    """What the UsageSampler is told."""

    redis_url: str = setting(
        parse.redis_url, "Redis or Valkey to write to", default="redis://127.0.0.1:6379/0", metavar="URL"
    )
    pid: tuple[int, ...] = setting(
        lambda value: tuple(map(parse.whole_number(1), parse.words(value))),
        "root processes to sample, children included",
        metavar="PID",
        repeatable=True,
    )
    service: str = setting(parse.text, "name under which they are recorded", default="target", metavar="NAME")
    cadvisor_url: str | None = setting(parse.http_url, "cAdvisor to ask about containers", metavar="URL")
    docker_socket: Path | None = setting(
        parse.path, "socket of the Docker Engine, asked about containers where no cAdvisor answers", metavar="FILE"
    )
    compose_project: str | None = setting(parse.text, "compose project whose containers are recorded", metavar="NAME")
    balancer_url: str | None = setting(parse.http_url, "address of HAProxy's statistics page", metavar="URL")
    heartbeat_file: Path | None = setting(
        parse.path, "file touched with every sample, for health checks", metavar="FILE"
    )
