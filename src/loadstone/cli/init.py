"""``loadstone init``: a scenario, a settings file and a CI workflow to begin with."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.cli.common import Verb, say
from loadstone.errors import ExitCode, UsageError
from loadstone.settings import parse

if TYPE_CHECKING:
    import argparse

__all__ = ["INIT"]

_HOST: Final = "http://127.0.0.1:8000"


class _Starter(NamedTuple):
    template: str
    path: Path
    holds: str


_STARTERS: Final = (
    _Starter("locustfile.template", Path("locustfile.py"), "what a user does: edit it for your service"),
    _Starter("load.template", Path("load.toml"), "how many users, for how long, and what has to hold"),
)
_WORKFLOW: Final = _Starter(
    "workflow.template", Path(".github", "workflows", "load-test.yml"), "the same in CI, started by hand"
)
"""GitHub looks for it at the top of a repository, so it is not written to other folders."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="folder to write to, then without the workflow")
    parser.add_argument("-H", "--host", metavar="URL", default=_HOST, help=f"base URL of the target (default: {_HOST})")


def _init(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write all files or none. Raises `UsageError` when one is there already, or cannot be written."""
    try:
        host = parse.http_url(arguments.host)
    except ValueError as error:
        raise UsageError(f"--host is {arguments.host!r}, it must be {error}") from None
    folder = Path(arguments.folder or ".")
    starters = _STARTERS if arguments.folder else (*_STARTERS, _WORKFLOW)
    with ExitStack() as begun:
        for each in starters:
            _write(folder / each.path, _text_of(each, host), begun)
        begun.pop_all()
    width = max(len(str(folder / each.path)) for each in starters)
    for each in starters:
        say(f"{folder / each.path!s:<{width}}  {each.holds}")
    enter = [f"cd {shlex.quote(str(folder))}"] if arguments.folder else []
    say(f"Next: {' && '.join([*enter, 'loadstone run --config load.toml'])}")
    return ExitCode.PASS


def _text_of(starter: _Starter, host: str) -> str:
    text = files("loadstone.cli").joinpath("starter", starter.template).read_text(encoding="utf-8")
    return Template(text).substitute(host=json.dumps(host, ensure_ascii=False))  # a basic string of TOML


def _write(path: Path, text: str, begun: ExitStack) -> None:
    """Write a new file; ``begun`` removes it unless all goes well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            begun.callback(path.unlink)
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename} already exists; nothing was written",
            hint="Name another folder: loadstone init FOLDER",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


INIT: Final = Verb(
    name="init",
    help="Write a scenario, a settings file and a CI workflow to begin with.",
    notes="Existing files are never overwritten.",
    configure=_configure,
    execute=_init,
)
