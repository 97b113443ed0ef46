"""``docker compose`` commands of the documentation: services, variables and options, by what the compose file knows."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from loadstone.errors import LoadstoneError
from loadstone.settings import StackSettings, describe, load
from support.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.docs.commands import Command

__all__ = ["compose_problems", "loadstone_words", "override_problems", "services"]

_FILE: Final = (ROOT / "docker-compose.yaml").read_text()
_DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(_FILE)
_MODULE: Final = ("-m", "loadstone")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"docker compose: {message}")


def _parser() -> argparse.ArgumentParser:
    """The part of Docker Compose's command line that the documentation uses."""
    top = _Parser(prog="docker compose", add_help=False, allow_abbrev=False)
    top.add_argument("--env-file", action="append", default=[])
    top.add_argument("--profile", action="append", default=[])
    verbs = top.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", allow_abbrev=False)
    up.add_argument("--scale", action="append", default=[])
    for name in ("-d", "--build", "--no-recreate"):
        up.add_argument(name, action="store_true")
    up.add_argument("services", nargs="*")
    for verb, flags in (("stop", ()), ("down", ("-v",)), ("logs", ("-f",)), ("ps", ()), ("build", ())):
        others = verbs.add_parser(verb, allow_abbrev=False)
        others.add_argument("services", nargs="*")
        for flag in flags:
            others.add_argument(flag, action="store_true")
    for verb in ("run", "exec"):
        inside = verbs.add_parser(verb, allow_abbrev=False)
        inside.add_argument("--rm", action="store_true")
        inside.add_argument("-T", action="store_true")
        inside.add_argument("--entrypoint")
        inside.add_argument("service")
        inside.add_argument("words", nargs=argparse.REMAINDER)
    return top


def services() -> set[str]:
    """The services of the compose file."""
    return set(_DOCUMENT["services"])


def _variables() -> set[str]:
    """The variables that the compose file reads, or a setting of the stack."""
    return set(re.findall(r"\$\{([A-Z_]+)", _FILE)) | {each.env for each in describe(StackSettings)}


def compose_problems(command: Command) -> Iterator[str]:
    """What is wrong with a command that begins with ``docker compose``, apart from what it runs in a service."""
    try:
        options = _parser().parse_args(command.words[2:])
    except ValueError as error:
        yield str(error)
        return
    scaled = [each.partition("=")[0] for each in getattr(options, "scale", ())]
    single = [options.service] if hasattr(options, "service") else []
    for name in {*scaled, *single, *getattr(options, "services", ())} - services():
        yield f"docker-compose.yaml has no service {name}"
    profiles = {each for service in _DOCUMENT["services"].values() for each in service.get("profiles", ())}
    for name in set(options.profile) - profiles:
        yield f"docker-compose.yaml has no profile {name}"
    for name in options.env_file:
        if not (ROOT / name).is_file():
            yield f"there is no file {name}"
    yield from _problems_of_variables(dict(each.split("=", 1) for each in command.variables))


def _problems_of_variables(given: dict[str, str]) -> Iterator[str]:
    for name in given.keys() - _variables():
        yield f"neither docker-compose.yaml nor a setting of the stack knows the variable {name}"
    try:
        load(StackSettings, environ=given)
    except LoadstoneError as error:
        yield str(error)


def loadstone_words(command: Command) -> tuple[str, ...] | None:
    """The words of the loadstone command that a service is to run; None where it runs something else."""
    try:
        options = _parser().parse_args(command.words[2:])
    except ValueError:
        return None
    words: Sequence[str] = getattr(options, "words", ())
    if options.verb == "run" and options.entrypoint is None and options.service == "cli":
        return _in_stack(words)
    at = next((at for at in range(len(words)) if tuple(words[at : at + 2]) == _MODULE), None)
    return None if at is None else tuple(words[at + 2 :])


def _in_stack(words: Sequence[str]) -> tuple[str, ...]:
    """What ``LOADSTONE_STACK=yes`` of the service ``cli`` makes of ``run``."""
    return ("run", "--stack", *words[1:]) if words[:1] == ["run"] else tuple(words)


def override_problems(text: str) -> Iterator[str]:
    """What is wrong with a compose file that is laid over the stack's: services or networks that it does not have."""
    override = yaml.safe_load(text)
    for name, service in override["services"].items():
        if name not in services():
            yield f"docker-compose.yaml has no service {name}"
        for network in set(service.get("networks", ())) - set(_DOCUMENT["networks"]):
            yield f"docker-compose.yaml has no network {network}"
