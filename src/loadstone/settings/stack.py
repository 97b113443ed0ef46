"""StackSettings: every setting of the compose stack, under its name in the file `env` and in docker-compose.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.settings import parse
from loadstone.settings.load import setting

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StackSettings", "memory_bytes"]

_HIGHEST_ID: Final = 4_294_967_294
_HIGHEST_PORT: Final = 65535
_MOST_CONNECTIONS: Final = 30_000
_MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?)([bkmg])b?", re.IGNORECASE)
_REDIS_MEMORY: Final = re.compile(r"(\d+)([kmg])b", re.IGNORECASE)
_BYTES: Final = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEAST_CONTAINER_BYTES: Final = 6 << 20
"""Docker's own minimum: https://docs.docker.com/engine/containers/resource_constraints/."""
_LEAST_CPUS: Final = 0.01
"""Docker's own minimum."""
_RETENTION: Final = re.compile(r"0|(?:\d+(?:s|m|h|d|w))+")
_IMAGE: Final = re.compile(r"[a-z0-9]+(?:[._/:@-]+[a-zA-Z0-9]+)*")
_TAG: Final = re.compile(r"\w[\w.-]{0,127}")
_PLACE: Final = re.compile(r"(?:\.{0,2}/|~/|\.{1,2}$)[^:]*")
_MODEL: Final = re.compile(r"models:/[^/@:\"\\]+(?:@[^/@\"\\]+|/[^/@\"\\]+)")
_ARTIFACTS: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(?:/\S*)?|/mlflow(?:/\S*)?")
_HOST_AND_PORT: Final = re.compile(r"([\w.-]+):(\d+)")
_BITS: Final = 8


def memory_bytes(value: str) -> int:
    """An amount of memory such as ``512m`` in bytes. Raises `ValueError` for any other text."""
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise ValueError("an amount of memory such as 512m or 2g")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def _memory(value: str) -> str:
    if memory_bytes(value) < _LEAST_CONTAINER_BYTES:
        raise ValueError("an amount of memory of at least 6m, Docker's minimum, such as 512m or 2g")
    return value


def _redis_memory(value: str) -> str:
    if not _REDIS_MEMORY.fullmatch(value):
        raise ValueError("a whole amount of memory as Redis takes it, such as 512mb or 2gb")
    return value


def _cpus(value: str) -> float:
    if not re.fullmatch(r"\d+(?:\.\d+)?", value) or float(value) < _LEAST_CPUS:
        raise ValueError(f"a number of cores of at least {_LEAST_CPUS:g}, Docker's minimum, such as 2 or 0.5")
    return float(value)


def _retention(value: str) -> str:
    if not _RETENTION.fullmatch(value):
        raise ValueError(parse.RETENTION)
    parse.retention_s(value)
    return value


def _address(value: str) -> str:
    parts = value.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 1 << _BITS for part in parts):  # noqa: PLR2004
        raise ValueError("an IPv4 address of this machine such as 127.0.0.1")
    return value


def _url_or_none(value: str) -> str | None:
    return parse.http_url(value) if value else None


def _file_name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+\.py(?:,[\w.-]+\.py)*", value):
        raise ValueError("names of Locust files in SCENARIO_FOLDER, such as locustfile.py")
    return value


def _like(pattern: re.Pattern[str], allowed: str) -> Callable[[str], str]:
    """A parser of texts of one form."""

    def parse_text(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(allowed)
        return value

    return parse_text


def _host_and_port(value: str) -> str:
    match = _HOST_AND_PORT.fullmatch(value)
    if match is None or not 0 < int(match[2]) <= _HIGHEST_PORT:
        raise ValueError("HOST:PORT, such as target:8000")
    return value


_port = parse.whole_number(1, _HIGHEST_PORT)
_user = parse.whole_number(1, _HIGHEST_ID)
_image = _like(_IMAGE, "the name of an image in lower case, such as loadstone or registry.example.com/team/loadstone")
_tag = _like(_TAG, "a tag of letters, digits, dots, hyphens and underscores, such as 0.1.0")
_place = _like(_PLACE, "a path that begins with ./, ../, / or ~/ and has no colon: Compose takes others for volumes")
_model = _like(_MODEL, "models:/NAME@ALIAS or models:/NAME/VERSION")
_artifacts = _like(_ARTIFACTS, "s3://BUCKET, or a folder in /mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """Settings that `docker compose` reads from the environment or from a file given with ``--env-file``."""

    uid: int = setting(_user, "owner of ./results on this machine: `id -u`", default="1000", variable="LOADSTONE_UID")
    gid: int = setting(_user, "group of ./results on this machine: `id -g`", default="1000", variable="LOADSTONE_GID")
    results: str = setting(
        _place,
        "results folder, in which each run gets its own folder",
        default="./results",
        variable="RESULTS_FOLDER",
    )
    images: str = setting(
        _image,
        "registry and prefix of the image names",
        default="loadstone",
        variable="LOADSTONE_IMAGES",
    )
    tag: str = setting(_tag, "version of the images", default="0.1.0", variable="LOADSTONE_TAG")
    python_image: str = setting(
        _image,
        "base image of the images that are built here",
        default="python:3.13.11-slim-bookworm",
        variable="PYTHON_IMAGE",
    )
    bind_address: str = setting(
        _address, "address of this machine on which the web pages listen", default="127.0.0.1", variable="BIND_ADDRESS"
    )
    allowed_hosts: tuple[str, ...] = setting(
        parse.allowed_hosts,
        "names of this machine under which browsers open Locust's web UI and the live page, separated by commas; "
        "localhost and IP addresses always work",
        default="",
        variable="ALLOWED_HOSTS",
    )
    locust_port: int = setting(_port, "port of Locust's web UI", default="8089", variable="LOCUST_PORT")
    live_port: int = setting(_port, "port of the live page", default="8090", variable="LIVE_PORT")
    grafana_port: int = setting(_port, "port of Grafana", default="3000", variable="GRAFANA_PORT")
    grafana_anonymous: str = setting(
        parse.choice("true", "false"),
        "whether Grafana shows its boards without a password: true or false",
        default="true",
        variable="GRAFANA_ANONYMOUS",
    )
    mlflow_port: int = setting(_port, "port of MLflow's web UI", default="5000", variable="MLFLOW_PORT")
    scenario_folder: str = setting(
        _place,
        "folder of the scenario, mounted into master and workers",
        default="./locust-worker",
        variable="SCENARIO_FOLDER",
    )
    scenario: str = setting(
        _file_name,
        "Locust file in that folder; several are separated by commas",
        default="locustfile.py",
        variable="SCENARIO",
    )
    target_url: str | None = setting(
        _url_or_none,
        "address of the target, in place of the scenario's hosts; without both it is the balancer of the stack",
        default="",
        variable="TARGET_URL",
    )
    users: int = setting(
        parse.whole_number(1), "number of users preset in Locust's web UI", default="100", variable="LOCUST_USERS"
    )
    spawn_rate: float = setting(
        parse.number_above(0),
        "users started per second, preset in Locust's web UI",
        default="10",
        variable="LOCUST_SPAWN_RATE",
    )
    exit_code_on_error: int = setting(
        parse.whole_number(0, 255),
        "Locust's exit code after failed requests or exceptions of tasks, which fails a run unless objectives judge "
        "them; 0: they may be",
        default="1",
        variable="LOCUST_EXIT_CODE_ON_ERROR",
    )
    masking: str = setting(
        parse.choice("yes", "no"),
        "replace secrets in names, errors, events and logs by ***, see secrets.md: yes or no",
        default="yes",
        variable="LOADSTONE_MASKING",
    )
    worker_memory: str = setting(_memory, "memory limit of one worker", default="768m", variable="WORKER_MEMORY")
    target_cpus: float = setting(
        _cpus, "CPU limit of one target replica, in cores", default="1.0", variable="TARGET_CPUS"
    )
    target_memory: str = setting(
        _memory, "memory limit of one target replica", default="512m", variable="TARGET_MEMORY"
    )
    target_mode: str = setting(
        parse.choice("auto", "naive", "batched", "compiled"),
        "how the target calls its model: auto, naive, batched or compiled",
        default="auto",
        variable="TARGET_MODE",
    )
    target_requirements: str = setting(
        parse.choice("serve", "target"),
        "packages in the target's image: serve, or target to also serve models without a stored graph",
        default="serve",
        variable="TARGET_REQUIREMENTS",
    )
    model_uri: str = setting(
        _model, "model that the target serves", default="models:/diabetes@champion", variable="MODEL_URI"
    )
    registry: str = setting(
        parse.http_url,
        "MLflow registry that holds the model",
        default="http://mlflow:5000",
        variable="MLFLOW_TRACKING_URI",
    )
    artifacts: str = setting(
        _artifacts,
        "where the MLflow server stores artifacts: a folder, or s3://BUCKET",
        default="/mlflow/artifacts",
        variable="MLFLOW_ARTIFACTS",
    )
    s3_endpoint: str = setting(
        parse.http_url,
        "address of the MLflow server's S3 store",
        default="http://s3:8333",
        variable="MLFLOW_S3_ENDPOINT_URL",
    )
    open_files: int = setting(
        parse.whole_number(1024),
        "open-file limit of services with many connections; a rootless engine cannot exceed its own limit",
        default="65536",
        variable="OPEN_FILES",
    )
    balancer_target: str = setting(
        _host_and_port,
        "host and port of the service behind the balancer",
        default="target:8000",
        variable="BALANCER_TARGET",
    )
    balancer_replay: str = setting(
        parse.choice("demo", "on", "off"),
        "whether the balancer retries requests whose replica died, POST included: on, off, or demo (demo target only)",
        default="demo",
        variable="BALANCER_REPLAY",
    )
    balancer_maxconn: int = setting(
        parse.whole_number(1, _MOST_CONNECTIONS),
        "maximum number of connections from users to the balancer",
        default="12000",
        variable="BALANCER_MAXCONN",
    )
    balancer_replica_maxconn: int = setting(
        parse.whole_number(1),
        "maximum number of concurrent requests per replica",
        default="256",
        variable="BALANCER_REPLICA_MAXCONN",
    )
    redis_memory: str = setting(
        _redis_memory, "memory that Redis may use for samples in transit", default="512mb", variable="REDIS_MEMORY"
    )
    redis_container_memory: str = setting(
        _memory,
        "memory limit of the Redis container; allow twice REDIS_MEMORY",
        default="1g",
        variable="REDIS_CONTAINER_MEMORY",
    )
    influx_retention: str = setting(
        _retention,
        "how long InfluxDB keeps points, at least 1h (0: forever); the archive keeps everything",
        default="30d",
        variable="INFLUX_RETENTION",
    )
    influx_memory: str = setting(_memory, "memory limit of InfluxDB", default="2g", variable="INFLUX_MEMORY")
    docker_socket: str = setting(
        _place,
        "Docker Engine socket, of which the stack's door lets out figures and names alone; /dev/null: none",
        default="/var/run/docker.sock",
        variable="DOCKER_SOCKET",
    )
