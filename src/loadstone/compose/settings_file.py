"""Checks of a stack's settings file before Compose reads it: what Docker or Compose itself would refuse halfway, too.

The form is that of Compose: https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/,
"Env file syntax". A variable of the environment overrides the file, there as here.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.errors import SettingsError, UsageError
from loadstone.settings import StackSettings, child_environment, describe, inherited_environment, load, short_text
from loadstone.settings.stack import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["problems_of_stack_file", "values_of_stack_file"]

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*[=:]\s*(.*)")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE: Final = re.compile(r"'([^']*)'\s*(?:#.*)?")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_REFERENCE: Final = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?-)([^}]*))?\})")
_OF_OTHERS: Final = re.compile(r"(?:COMPOSE|DOCKER|BUILDKIT|BUILDX)_\w+")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_GONE: Final = {"DOCKER_GID": "is no setting any more: the socket is opened whatever its group is. Remove it"}
_PORTS: Final = ("LOCUST_PORT", "LIVE_PORT", "GRAFANA_PORT", "MLFLOW_PORT")
_MOST_FILES: Final = Path("/proc/sys/fs/nr_open")


def problems_of_stack_file(file: Path, folder: Path, *, cpus: int | None = None) -> list[str]:
    """Everything that is wrong with a settings file, as sentences. Raises `UsageError` when it cannot be read.

    ``folder`` is that of docker-compose.yaml, from which paths count; ``cpus`` are those of the machine.
    """
    try:
        text = short_text(file, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {file} cannot be read: {error}", hint="Name a copy of `env`") from error
    problems: list[str] = []
    environ = child_environment(inherited_environment(StackSettings))
    values = values_of_stack_file(text, problems, environ)
    known = [each.env for each in describe(StackSettings)]
    problems += _unknown(values, known)
    values |= {name: environ[name] for name in known if environ.get(name)}
    invalid = _invalid(values)
    problems += invalid.values()
    defaults = {each.env: each.default or "" for each in describe(StackSettings) if each.env not in invalid}
    valid = {name: values.get(name) or default for name, default in defaults.items()}
    problems += _taken_twice(valid)
    problems += _too_much(valid, cpus or os.cpu_count() or 1)
    problems += _places(valid, folder)
    return problems


def values_of_stack_file(text: str, problems: list[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Setting to value, as Compose reads the text of a file; what is wrong with lines is added to ``problems``.

    A value may refer to variables of ``environ``, and to those of lines before it.
    """
    values: dict[str, str] = {}
    set_at: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = _value(match[2], {**values, **environ}) if match else None
        if match is None or value is None:
            problems.append(f"line {number} is {line!r}, it must be NAME=VALUE, with quotes in pairs")
            continue
        name = match[1]
        if name in set_at:
            problems.append(f"{name} is set twice, in lines {set_at[name]} and {number}: keep one")
        set_at[name], values[name] = number, value
    return values


def _value(text: str, known: Mapping[str, str]) -> str | None:
    """The value that Compose takes from what is behind the ``=``; None when a quote is left open."""
    if text.startswith("'"):
        match = _SINGLE.fullmatch(text)
        return match[1] if match else None
    if text.startswith('"'):
        match = _DOUBLE.fullmatch(text)
        return _expanded(re.sub(r"\\(.)", r"\1", match[1]), known) if match else None
    return _expanded(_COMMENT.sub("", text).strip(), known)


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """References to other variables, such as ``${HOME}``, replaced as Compose does."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        found = known.get(name)
        is_missing = found is None or (match[3] == ":-" and not found)
        return (match[4] or "") if is_missing else found or ""

    return _REFERENCE.sub(value_of, text)


def _unknown(values: Mapping[str, str], known: Iterable[str]) -> Iterator[str]:
    names = sorted(known)
    for name, value in values.items():
        if name in names:
            continue
        if name in _GONE:
            yield f"{name} {_GONE[name]}"
        elif name == "COMPOSE_PROJECT_NAME" and not _PROJECT.fullmatch(value):
            yield f"{name} is {value!r}, it must be lower-case letters, digits, hyphens and underscores"
        elif not _OF_OTHERS.fullmatch(name):
            nearest = difflib.get_close_matches(name.upper(), names, n=1)
            yield f"{name} is not known, " + (f"did you mean {nearest[0]}?" if nearest else "`env` has every setting")


def _invalid(values: Mapping[str, str]) -> dict[str, str]:
    """The settings whose values no service can take, with the sentence for each."""
    try:
        load(StackSettings, environ=values)
    except SettingsError as error:
        return {problem.split(" ", 1)[0]: problem for problem in error.problems}
    return {}


def _taken_twice(valid: Mapping[str, str]) -> Iterator[str]:
    users: dict[int, list[str]] = {}
    for name in _PORTS:
        if name in valid:
            users.setdefault(int(valid[name]), []).append(name)
    for port, names in users.items():
        if len(names) > 1:
            yield f"port {port} is taken {_times(len(names))}, by {' and '.join(names)}: give each its own"


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"  # noqa: PLR2004


def _too_much(valid: Mapping[str, str], cpus: int) -> Iterator[str]:
    """What the machine does not have, and memory that cannot suffice."""
    if "TARGET_CPUS" in valid and float(valid["TARGET_CPUS"]) > cpus:
        yield f"TARGET_CPUS is {valid['TARGET_CPUS']}, but this machine has {cpus} cores: Docker refuses more"
    if {"REDIS_MEMORY", "REDIS_CONTAINER_MEMORY"} <= valid.keys():
        used, limit = valid["REDIS_MEMORY"], valid["REDIS_CONTAINER_MEMORY"]
        if memory_bytes(limit) <= memory_bytes(used):
            yield f"REDIS_CONTAINER_MEMORY is {limit}, it must be above REDIS_MEMORY, {used}; allow twice as much"
    if "OPEN_FILES" in valid and _MOST_FILES.exists() and int(valid["OPEN_FILES"]) > int(_MOST_FILES.read_text()):
        yield f"OPEN_FILES is {valid['OPEN_FILES']}, but this machine allows {_MOST_FILES.read_text().strip()} at most"
    if "BIND_ADDRESS" in valid and not _is_own_address(valid["BIND_ADDRESS"]):
        yield f"BIND_ADDRESS is {valid['BIND_ADDRESS']}, which is no address of this machine"


def _is_own_address(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _places(valid: Mapping[str, str], folder: Path) -> Iterator[str]:
    if "RESULTS_FOLDER" in valid:
        results = _place(valid["RESULTS_FOLDER"], folder)
        if results.exists() and not results.is_dir():
            yield f"RESULTS_FOLDER is {valid['RESULTS_FOLDER']}, but {results} is no folder"
    if "SCENARIO_FOLDER" in valid:
        yield from _scenario(valid, _place(valid["SCENARIO_FOLDER"], folder))
    if "DOCKER_SOCKET" in valid:
        engine = _place(valid["DOCKER_SOCKET"], folder)
        if engine != Path(os.devnull) and not (engine.exists() and stat.S_ISSOCK(engine.stat().st_mode)):
            yield f"DOCKER_SOCKET is {valid['DOCKER_SOCKET']}, but no socket is there: name the engine's, or /dev/null"


def _scenario(valid: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Master and workers run as a user of their own, so others have to be able to read the scenario."""
    named = f"SCENARIO_FOLDER is {valid['SCENARIO_FOLDER']}"
    if not folder.is_dir():
        yield f"{named}, but there is no folder {folder}"
        return
    if not folder.stat().st_mode & stat.S_IXOTH:
        yield f"{named}, which master and workers cannot open: `chmod o+rx {folder}`"
    for name in valid.get("SCENARIO", "").split(","):
        file = folder / name
        if name and not file.is_file():
            yield f"SCENARIO is {valid['SCENARIO']}, but there is no file {file}"
        elif name and not file.stat().st_mode & stat.S_IROTH:
            yield f"SCENARIO is {valid['SCENARIO']}, which master and workers cannot read: `chmod o+r {file}`"


def _place(value: str, folder: Path) -> Path:
    return (folder / Path(value).expanduser()).resolve()
