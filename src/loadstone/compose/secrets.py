"""Secrets of the compose stack: random, made once, and given to each consumer in its own volume.

`make_secrets` runs as root with no capability but CAP_CHOWN, so it cannot read files of other users. It keeps all
values in its own store, with a digest of each file that it gave, and writes a consumer's file again from there when it
is missing, has the wrong owner, or would be another one now, as after an update that changes the rules of Redis.
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
from loadstone.stream import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["PEOPLE", "Login", "Values", "give_results", "make_secrets", "read_for_people", "redis_rules"]

Values = dict[str, str]
PEOPLE: Final = "people"
"""The folder with the passwords of the web pages."""
_STORE: Final = "store"
_FILE: Final = "secrets.json"
_GIVEN: Final = "given.json"
_BYTES: Final = 24
_ROOT: Final = 0
_STACK_USER: Final = 10001
_REDIS_USER: Final = 999
_INFLUX_USER: Final = 1000
_GRAFANA_USER: Final = 472
_HAPROXY_USER: Final = 99
_NAMES: Final = (
    "redis_master",
    "redis_worker",
    "redis_collector",
    "redis_usage",
    "control_token",
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

    @property
    def path(self) -> str:
        return f"{self.volume}/{self.name}"


def _redis_url(user: str) -> Callable[[Values], str]:
    return lambda values: f"redis://{user}:{values['redis_' + user]}@redis:6379/0"


def _value(name: str) -> Callable[[Values], str]:
    return lambda values: values[name]


def redis_rules(values: Values) -> str:
    """Redis' ACL file; see `loadstone.stream.rules`.

    The collector may do everything but administer the server. The file contains digests, not passwords. Nobody can log
    in as the default user, but Redis replays its append-only file as that user after a crash, so it keeps all
    permissions: without them transactions would be lost.
    """
    digests = {name: hashlib.sha256(values[f"redis_{name}"].encode()).hexdigest() for name in _ACL_COMMANDS}
    users = [f"user {name} on #{digests[name]} {rules}" for name, rules in _ACL_COMMANDS.items()]
    nobody, health = "user default off resetpass ~* &* +@all", "user health on nopass resetkeys -@all +ping"
    return "\n".join([nobody, health, *users, ""])


_ACL_COMMANDS: Final[Mapping[str, str]] = {
    "master": rules.MASTER,
    "worker": rules.WORKER,
    "usage": rules.SAMPLER,
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
    _File("master", "redis_url", _STACK_USER, _redis_url("master")),
    _File("master", "control_token", _STACK_USER, _value("control_token")),
    _File("worker", "redis_url", _STACK_USER, _redis_url("worker")),
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
    _File(PEOPLE, "control_token", _ROOT, _value("control_token")),
)


def make_secrets(root: Path, uid: int, gid: int) -> list[str]:
    """Make what is missing or out of date below ``root``, one folder per consumer. Returns the files it wrote.

    Raises `PlatformError` when a volume cannot be written or the store is damaged.
    """
    values, given = _stored(root / _STORE, _FILE), _stored(root / _STORE, _GIVEN)
    _make_missing(root / _STORE, values)
    written = [file.path for file in _FILES if _give(root, file, values, given, uid, gid)]
    if written:
        _write(root / _STORE / _GIVEN, _json(given), os.getuid(), os.getgid())
    _own(root / "collector", uid, gid)  # `setup influx` puts the collector's token there
    return written


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


def _stored(folder: Path, name: str) -> Values:
    """What a file of the store holds; nothing before it is there."""
    file = folder / name
    try:
        return msgspec.json.decode(file.read_bytes(), type=Values) if file.exists() else {}
    except (OSError, msgspec.MsgspecError) as error:
        raise PlatformError(
            f"the secrets in {file} cannot be read: {error}",
            hint="Restore that volume from a backup, or start afresh: `docker compose down -v` removes all secrets and"
            " the data that they protect",
        ) from error


def _make_missing(folder: Path, values: Values) -> None:
    """Add the values that are missing, and store all of them before one is given to anybody."""
    missing = [name for name in _NAMES if name not in values]
    if missing:
        values |= {name: secrets.token_urlsafe(_BYTES) for name in missing}
        _write(folder / _FILE, _json(values), os.getuid(), os.getgid())


def _give(root: Path, file: _File, values: Values, given: Values, uid: int, gid: int) -> bool:
    """Write one consumer's file unless it was given as it is now and has the right owner; whether it was written."""
    owner, group = (uid, gid) if file.owner == _ROOT else (file.owner, file.owner)
    folder = root / file.volume
    target, text = folder / file.name, file.text(values)
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        found = target.stat() if target.exists() else None
    except OSError as error:
        raise PlatformError(f"{target} cannot be read: {error.strerror}") from error
    if found and (found.st_uid, found.st_gid) == (owner, group) and given.get(file.path) == digest:
        return False
    _own(folder, os.getuid(), os.getgid())
    _write(target, text, owner, group)
    given[file.path] = digest
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
