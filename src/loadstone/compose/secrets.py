"""Secrets of the compose stack: made once, at random, and handed to each consumer in a volume of its own.

`make_secrets` runs as root with no capability but CAP_CHOWN, so it cannot read what belongs to others: all values stay
in a store of its own, and the files of the consumers are written anew from it whenever one is missing or changed hands.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError, UsageError
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["PEOPLE", "Values", "give_results", "make_secrets", "read_for_people", "redis_rules"]

Values = dict[str, str]
PEOPLE: Final = "people"
"""The folder of what a person needs to know."""
_STORE: Final = "store"
_FILE: Final = "secrets.json"
_BYTES: Final = 24
_ROOT: Final = 0
_STACK_USER: Final = 10001
_REDIS_USER: Final = 999
_INFLUX_USER: Final = 1000
_GRAFANA_USER: Final = 472
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
)


@dataclass(frozen=True, slots=True)
class _File:
    """A file for one consumer: the volume's name, the file's, who may read it (0: whoever owns the results), text."""

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

    Locust's processes may add to two streams and ask the time, the usage sampler to a third, and the collector works
    on everything but the server itself. It holds digests, not passwords. Nobody can be the default user, but Redis
    itself is when it reads its append-only file again after a crash: without its rights transactions would be lost.
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
    """SeaweedFS' list of identities: one, for the bucket of the registry."""
    credentials = [{"accessKey": values["s3_access_key"], "secretKey": values["s3_secret_key"]}]
    return json.dumps({"identities": [{"name": "mlflow", "credentials": credentials, "actions": ["Admin"]}]})


def _aws_credentials(values: Values) -> str:
    """The shared credentials file that boto3 reads."""
    keys = f"aws_access_key_id={values['s3_access_key']}\naws_secret_access_key={values['s3_secret_key']}"
    return f"[default]\n{keys}\n"


def _for_people(values: Values) -> str:
    told = {
        "Grafana": {"user": "admin", "password": values["grafana_password"]},
        "InfluxDB": {"user": "admin", "password": values["influx_password"]},
    }
    return json.dumps(told)


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
    _File("s3", "identities.json", _STACK_USER, _s3_identities),
    _File(PEOPLE, "secrets.json", _ROOT, _for_people),
)


def make_secrets(root: Path, uid: int, gid: int) -> list[str]:
    """Make what is missing below ``root``, one folder per consumer. The names of the files that were written.

    Raises `PlatformError` when a volume cannot be written to, or the store was damaged.
    """
    values = _stored(root / _STORE)
    written = [file for file in _FILES if _give(root, file, values, uid, gid)]
    _own(root / "collector", uid, gid)  # where the one-shot of InfluxDB puts the collector's token
    return [f"{file.volume}/{file.name}" for file in written]


def give_results(folder: Path, uid: int, gid: int) -> None:
    """Let the person own the folder of results, not what is in it."""
    _own(folder, uid, gid)


def read_for_people(root: Path) -> dict[str, dict[str, str]]:
    """What a person needs: service to user and password. Raises `UsageError` where there are no secrets."""
    file = root / PEOPLE / "secrets.json"
    try:
        found: dict[str, dict[str, str]] = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(
            f"the secrets cannot be read from {file}: {error.strerror}",
            hint="Ask inside the stack: docker compose run --rm cli secrets show",
        ) from error
    return found


def _stored(folder: Path) -> Values:
    """The values; those that are not there yet are made and kept first."""
    file = folder / _FILE
    try:
        values: Values = json.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise PlatformError(
            f"the secrets in {file} cannot be read: {error}",
            hint="`docker compose down -v` removes them with all data that they protect",
        ) from error
    missing = [name for name in _NAMES if name not in values]
    if missing:
        values |= {name: secrets.token_urlsafe(_BYTES) for name in missing}
        _write(file, json.dumps(values), os.getuid(), os.getgid())
    return values


def _give(root: Path, file: _File, values: Values, uid: int, gid: int) -> bool:
    """Write one consumer's file unless it is there, with the right owner."""
    owner, group = (uid, gid) if file.owner == _ROOT else (file.owner, file.owner)
    folder = root / file.volume
    target = folder / file.name
    try:
        found = target.stat() if target.exists() else None
    except OSError as error:
        raise PlatformError(f"the volume of {file.volume} cannot be looked at: {error.strerror}") from error
    if found and (found.st_uid, found.st_gid) == (owner, group):
        return False
    _own(folder, os.getuid(), os.getgid())
    _write(target, file.text(values), owner, group)
    return True


def _write(file: Path, text: str, uid: int, gid: int) -> None:
    """Put a file in place as a whole, readable by its owner alone."""
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
            f"{folder} cannot be given to {uid}:{gid}: {error.strerror}",
            hint="Create it beforehand, owned by you, and set LOADSTONE_UID and LOADSTONE_GID to your ids",
        ) from error
