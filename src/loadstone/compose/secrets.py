"""Secrets of the compose stack: random, made once, and given to each consumer in its own volume.

`make_secrets` runs as root with no capability but CAP_CHOWN, so it cannot read files of other users. It keeps all
values in its own store, and writes a consumer's file again from there when it is missing or has the wrong owner.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.errors import PlatformError
from loadstone.settings import read_secret
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["PEOPLE", "Login", "Values", "give_results", "make_secrets", "read_for_people", "redis_rules"]

Values = dict[str, str]
PEOPLE: Final = "people"
"""The folder with the passwords of the web pages."""
_STORE: Final = "store"
_FILE: Final = "secrets.json"
_BYTES: Final = 24
_ROOT: Final = 0
_STACK_USER: Final = 10001
_REDIS_USER: Final = 999
_INFLUX_USER: Final = 1000
_GRAFANA_USER: Final = 472
_HAPROXY_USER: Final = 99
_NAMES: Final = (
    "redis_locust",
    "redis_collector",
    "redis_usage",
    "influx_password",
    "influx_admin_token",
    "grafana_password",
    "grafana_influx_password",
    "s3_access_key",
    "s3_secret_key",
    "mlflow_people",
    "mlflow_model",
    "mlflow_target",
)


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """User and password of one web page."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file for one consumer: its volume, its name, its owner's id (0: the owner of the results) and its content."""

    volume: str
    name: str
    owner: int
    text: Callable[[Values], str]


def _redis_url(user: str) -> Callable[[Values], str]:
    return lambda values: f"redis://{user}:{values['redis_' + user]}@redis:6379/0"


def _value(name: str) -> Callable[[Values], str]:
    return lambda values: values[name]


def redis_rules(values: Values) -> str:
    """Redis' ACL file; see https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/.

    Locust's processes may add to two streams and read the time, the UsageSampler may add to a third, and the collector
    may do everything but administer the server. The file contains digests, not passwords. Nobody can log in as the
    default user, but Redis replays its append-only file as that user after a crash, so it keeps all permissions:
    without them transactions would be lost.
    """
    digests = {name: hashlib.sha256(values[f"redis_{name}"].encode()).hexdigest() for name in _ACL_COMMANDS}
    users = [f"user {name} on #{digests[name]} {rules}" for name, rules in _ACL_COMMANDS.items()]
    nobody, health = "user default off resetpass ~* &* +@all", "user health on nopass resetkeys -@all +ping"
    return "\n".join([nobody, health, *users, ""])


_ACL_COMMANDS: Final[Mapping[str, str]] = {
    "locust": f"resetkeys %W~{SAMPLES} %W~{EVENTS} -@all +xadd +time +ping",
    "usage": f"resetkeys %W~{USAGE} -@all +xadd +ping",
    "collector": "~* -@all +@read +@write +@connection +@transaction +@scripting +time -@dangerous +info",
}


def _s3_identities(values: Values) -> str:
    """SeaweedFS' list of identities, with the one that uses the registry's bucket."""
    credentials = [{"accessKey": values["s3_access_key"], "secretKey": values["s3_secret_key"]}]
    return _json({"identities": [{"name": "mlflow", "credentials": credentials, "actions": ["Admin"]}]})


def _aws_credentials(values: Values) -> str:
    """The AWS credentials file that boto3 reads."""
    keys = f"aws_access_key_id={values['s3_access_key']}\naws_secret_access_key={values['s3_secret_key']}"
    return f"[default]\n{keys}\n"


_REGISTRY_GROUPS: Final = {"writers": ("people", "model"), "readers": ("target",)}


def _registry_users(values: Values) -> str:
    """HAProxy's list of the registry's users; target/registry/haproxy.cfg says what each group may do."""
    groups = [f"    group {group} users {','.join(users)}" for group, users in _REGISTRY_GROUPS.items()]
    users = [user for each in _REGISTRY_GROUPS.values() for user in each]
    logins = [f"    user {user} insecure-password {values['mlflow_' + user]}" for user in users]
    return "\n".join(["userlist registry", *groups, *logins, ""])


def _netrc(user: str) -> Callable[[Values], str]:
    """Login for the stack's registry, in the file that MLflow's HTTP client reads; no other host gets it."""
    return lambda values: f"machine mlflow login {user} password {values['mlflow_' + user]}\n"


def _for_people(values: Values) -> str:
    logins = {
        "Grafana": Login(user="admin", password=values["grafana_password"]),
        "InfluxDB": Login(user="admin", password=values["influx_password"]),
        "MLflow": Login(user="people", password=values["mlflow_people"]),
    }
    return _json(logins)


_FILES: Final = (
    _File("redis", "users.acl", _REDIS_USER, redis_rules),
    _File("locust", "redis_url", _STACK_USER, _redis_url("locust")),
    _File("usage", "redis_url", _STACK_USER, _redis_url("usage")),
    _File("collector", "redis_url", _ROOT, _redis_url("collector")),
    _File("influxdb", "admin_password", _INFLUX_USER, _value("influx_password")),
    _File("influxdb", "admin_token", _INFLUX_USER, _value("influx_admin_token")),
    _File("influx-init", "admin_token", _ROOT, _value("influx_admin_token")),
    _File("influx-init", "grafana_password", _ROOT, _value("grafana_influx_password")),
    _File("grafana", "admin_password", _GRAFANA_USER, _value("grafana_password")),
    _File("grafana", "influx_password", _GRAFANA_USER, _value("grafana_influx_password")),
    _File("mlflow", "aws_credentials", _STACK_USER, _aws_credentials),
    _File("registry", "users.cfg", _HAPROXY_USER, _registry_users),
    _File("model", "netrc", _STACK_USER, _netrc("model")),
    _File("target", "netrc", _STACK_USER, _netrc("target")),
    _File("s3", "identities.json", _STACK_USER, _s3_identities),
    _File(PEOPLE, "secrets.json", _ROOT, _for_people),
)


def make_secrets(root: Path, uid: int, gid: int) -> list[str]:
    """Make what is missing below ``root``, one folder per consumer. Returns the names of the files it wrote.

    Raises `PlatformError` when a volume cannot be written or the store is damaged.
    """
    values = _stored(root / _STORE)
    written = [file for file in _FILES if _give(root, file, values, uid, gid)]
    _own(root / "collector", uid, gid)  # `setup influx` puts the collector's token there
    return [f"{file.volume}/{file.name}" for file in written]


def give_results(folder: Path, uid: int, gid: int) -> None:
    """Make a user the owner of the results folder, but not of its content."""
    _own(folder, uid, gid)


def read_for_people(root: Path) -> dict[str, Login]:
    """The login of each web page, by service. Raises `UsageError` where there are no secrets."""
    cure = "Run it inside the stack: docker compose run --rm cli secrets show"
    text = read_secret(root / PEOPLE / _FILE, "password", cure=cure)
    return msgspec.json.decode(text, type=dict[str, Login])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _stored(folder: Path) -> Values:
    """All values; missing ones are made and stored first."""
    file = folder / _FILE
    try:
        values = msgspec.json.decode(file.read_bytes(), type=Values) if file.exists() else {}
    except (OSError, msgspec.MsgspecError) as error:
        raise PlatformError(
            f"the secrets in {file} cannot be read: {error}",
            hint="Restore that volume from a backup, or start afresh: `docker compose down -v` removes all secrets and"
            " the data that they protect",
        ) from error
    missing = [name for name in _NAMES if name not in values]
    if missing:
        values |= {name: secrets.token_urlsafe(_BYTES) for name in missing}
        _write(file, _json(values), os.getuid(), os.getgid())
    return values


def _give(root: Path, file: _File, values: Values, uid: int, gid: int) -> bool:
    """Write one consumer's file unless it exists with the right owner; whether it was written."""
    owner, group = (uid, gid) if file.owner == _ROOT else (file.owner, file.owner)
    folder = root / file.volume
    target = folder / file.name
    try:
        found = target.stat() if target.exists() else None
    except OSError as error:
        raise PlatformError(f"{target} cannot be read: {error.strerror}") from error
    if found and (found.st_uid, found.st_gid) == (owner, group):
        return False
    _own(folder, os.getuid(), os.getgid())
    _write(target, file.text(values), owner, group)
    return True


def _write(file: Path, text: str, uid: int, gid: int) -> None:
    """Write a file atomically, readable only by its owner."""
    new = file.with_name(file.name + ".new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.chown(new, uid, gid)
        new.replace(file)
    except OSError as error:
        raise PlatformError(f"{file} cannot be written: {error.strerror}") from error


def _own(folder: Path, uid: int, gid: int) -> None:
    try:
        found = folder.stat()
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.chown(folder, uid, gid)
    except OSError as error:
        raise PlatformError(
            f"the owner of {folder} cannot be set to {uid}:{gid}: {error.strerror}",
            hint="Create the folder yourself and set LOADSTONE_UID and LOADSTONE_GID to your user and group id",
        ) from error
