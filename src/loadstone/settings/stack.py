"""StackSettings: every setting of the compose stack, as the file `env`, docker-compose.yaml and its page name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from loadstone.settings import parse
from loadstone.settings.load import setting

__all__ = ["StackSettings"]

_HIGHEST_ID: Final = 4_294_967_294
_HIGHEST_PORT: Final = 65535
_MOST_CONNECTIONS: Final = 30_000
_MEMORY: Final = re.compile(r"\d+(?:\.\d+)?\s*[bkmg]b?", re.IGNORECASE)
_RETENTION: Final = re.compile(r"0|(?:\d+(?:s|m|h|d|w))+")
_BITS: Final = 8


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise ValueError("an amount of memory such as 512m or 2g")
    return value


def _retention(value: str) -> str:
    if not _RETENTION.fullmatch(value):
        raise ValueError("a duration such as 30d or 72h, or 0 for ever")
    return value


def _address(value: str) -> str:
    parts = value.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 1 << _BITS for part in parts):  # noqa: PLR2004
        raise ValueError("an IPv4 address of this machine such as 127.0.0.1")
    return value


def _file_name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+\.py(?:,[\w.-]+\.py)*", value):
        raise ValueError("names of Locust files in SCENARIO_FOLDER, such as locustfile.py")
    return value


_port = parse.whole_number(1, _HIGHEST_PORT)
_user = parse.whole_number(1, _HIGHEST_ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """What `docker compose` reads from the environment or from a file given with ``--env-file``."""

    uid: int = setting(_user, "owner of ./results on this machine: `id -u`", default="1000", variable="LOADSTONE_UID")
    gid: int = setting(_user, "group of ./results on this machine: `id -g`", default="1000", variable="LOADSTONE_GID")
    results: str = setting(
        parse.text, "folder that receives one folder per run", default="./results", variable="RESULTS_FOLDER"
    )
    images: str = setting(
        parse.text,
        "where the images come from: a registry and a prefix",
        default="loadstone",
        variable="LOADSTONE_IMAGES",
    )
    tag: str = setting(parse.text, "version of the images", default="0.1.0", variable="LOADSTONE_TAG")
    python_image: str = setting(
        parse.text,
        "base of the images that are built here",
        default="python:3.13.11-slim-bookworm",
        variable="PYTHON_IMAGE",
    )
    bind_address: str = setting(
        _address, "address of this machine that the pages listen on", default="127.0.0.1", variable="BIND_ADDRESS"
    )
    locust_port: int = setting(_port, "port of Locust's web UI", default="8089", variable="LOCUST_PORT")
    live_port: int = setting(_port, "port of the live page", default="8090", variable="LIVE_PORT")
    grafana_port: int = setting(_port, "port of Grafana", default="3000", variable="GRAFANA_PORT")
    grafana_anonymous: str = setting(
        parse.choice("true", "false"),
        "whether Grafana's boards can be looked at without a password",
        default="true",
        variable="GRAFANA_ANONYMOUS",
    )
    mlflow_port: int = setting(_port, "port of MLflow's pages", default="5000", variable="MLFLOW_PORT")
    scenario_folder: str = setting(
        parse.text,
        "folder with the scenario, seen by master and workers",
        default="./locust-worker",
        variable="SCENARIO_FOLDER",
    )
    scenario: str = setting(_file_name, "the Locust file in that folder", default="locustfile.py", variable="SCENARIO")
    target_url: str = setting(
        parse.http_url,
        "what the users ask; host.docker.internal is this machine",
        default="http://balancer:8000",
        variable="TARGET_URL",
    )
    users: int = setting(
        parse.whole_number(1), "users that Locust's web UI offers", default="100", variable="LOCUST_USERS"
    )
    spawn_rate: float = setting(
        parse.number_above(0),
        "users started per second that Locust's web UI offers",
        default="10",
        variable="LOCUST_SPAWN_RATE",
    )
    worker_memory: str = setting(_memory, "memory of one worker", default="768m", variable="WORKER_MEMORY")
    target_cpus: float = setting(
        parse.number_above(0), "CPU cores of one target replica", default="1.0", variable="TARGET_CPUS"
    )
    target_memory: str = setting(_memory, "memory of one target replica", default="512m", variable="TARGET_MEMORY")
    target_mode: str = setting(
        parse.choice("auto", "naive", "batched", "compiled"),
        "how the target calls its model",
        default="auto",
        variable="TARGET_MODE",
    )
    target_requirements: str = setting(
        parse.choice("serve", "target"),
        "packages of the target's image: target also serves models without a stored graph",
        default="serve",
        variable="TARGET_REQUIREMENTS",
    )
    model_uri: str = setting(
        parse.text, "model that the target serves", default="models:/diabetes@champion", variable="MODEL_URI"
    )
    registry: str = setting(
        parse.http_url,
        "MLflow registry that has the model",
        default="http://mlflow:5000",
        variable="MLFLOW_TRACKING_URI",
    )
    artifacts: str = setting(
        parse.text,
        "where the MLflow server keeps artifacts: a folder, or s3://BUCKET",
        default="/mlflow/artifacts",
        variable="MLFLOW_ARTIFACTS",
    )
    s3_endpoint: str = setting(
        parse.http_url, "S3 store of the MLflow server", default="http://s3:8333", variable="MLFLOW_S3_ENDPOINT_URL"
    )
    open_files: int = setting(
        parse.whole_number(1024),
        "files that a service with many connections may open; rootless engines cannot give more than they have",
        default="65536",
        variable="OPEN_FILES",
    )
    balancer_target: str = setting(
        parse.text, "name and port behind the balancer", default="target:8000", variable="BALANCER_TARGET"
    )
    balancer_replay: str = setting(
        parse.choice("demo", "on", "off"),
        "send requests again whose replica died, POST included; demo: only to the demo target",
        default="demo",
        variable="BALANCER_REPLAY",
    )
    balancer_maxconn: int = setting(
        parse.whole_number(1, _MOST_CONNECTIONS),
        "open connections of users",
        default="12000",
        variable="BALANCER_MAXCONN",
    )
    balancer_replica_maxconn: int = setting(
        parse.whole_number(1), "requests at one replica at a time", default="256", variable="BALANCER_REPLICA_MAXCONN"
    )
    redis_memory: str = setting(_memory, "memory for samples on their way", default="512mb", variable="REDIS_MEMORY")
    redis_container_memory: str = setting(
        _memory, "memory of Redis' container: twice REDIS_MEMORY", default="1g", variable="REDIS_CONTAINER_MEMORY"
    )
    influx_retention: str = setting(
        _retention, "how long InfluxDB keeps points; the archive keeps all", default="30d", variable="INFLUX_RETENTION"
    )
    influx_memory: str = setting(_memory, "memory of InfluxDB", default="2g", variable="INFLUX_MEMORY")
    docker_socket: str = setting(
        parse.text,
        "the engine's socket, read by the usage sampler where no cAdvisor answers; /dev/null gives none",
        default="/dev/null",
        variable="DOCKER_SOCKET",
    )
    docker_gid: int = setting(
        parse.whole_number(0, _HIGHEST_ID), "group that may read that socket", default="0", variable="DOCKER_GID"
    )
