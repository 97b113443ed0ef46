"""``loadstone VERB``: parse the command line, run the verb, and turn errors into one line each and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Final

from loadstone.cli.common import Parser
from loadstone.domain.text import mask_secrets
from loadstone.errors import LoadstoneError, SettingsError
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.cli.common import Verb

__all__ = ["main", "parser", "verbs"]

_MODULES: Final = {
    "run": "run",
    "up": "run",
    "worker": "services",
    "runs": "runs",
    "show": "runs",
    "compare": "runs",
    "export": "runs",
    "report": "runs",
    "verify": "runs",
    "recover": "runs",
    "influx": "influx",
    "grafana": "grafana",
    "doctor": "stack",
    "collector": "services",
    "usage": "services",
    "setup": "stack",
    "secrets": "stack",
}
"""Module of each verb, in the order of the help. Importing all of them takes half a second of CPU, so a verb is only
imported when it is used or described."""


def verbs(name: str | None = None) -> tuple[Verb, ...]:
    """All verbs, or only the one with this name if there is one."""
    names = (name,) if name in _MODULES else tuple(_MODULES)
    return tuple(getattr(import_module(f"loadstone.cli.{_MODULES[each]}"), each.upper()) for each in names)


def parser(verb: str | None = None) -> Parser:
    """The parser of every verb, or only of the one with this name if there is one."""
    top = Parser(
        prog="loadstone",
        description="Distributed load tests that record every request and account for every number.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"loadstone {__version__}")
    top.add_argument("--debug", action="store_true", help="print the Python traceback of an error")
    actions = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for each in verbs(verb):
        each.add_to(actions)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code; raises nothing but argparse's `SystemExit` for ``--help``."""
    arguments = argparse.Namespace(debug=False)
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        name, end = _named_verb(words)
        _, rest = parser(name).parse_known_args(words[:end], arguments)
        verb: Verb = arguments.verb
        if rest:
            arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}")
        _set_up_log(verb)
        return int(verb.execute(arguments, tuple(words[end:]))) if verb.execute else 0
    except LoadstoneError as error:
        if arguments.debug:
            traceback.print_exc()
        _report(error)
        return int(error.exit_code)


def _named_verb(words: Sequence[str]) -> tuple[str | None, int]:
    """The verb, if one is named, and how many words to parse now: up to a verb that passes arguments on, else all."""
    number = next((number for number, word in enumerate(words) if word != "--debug"), len(words))
    name = words[number] if number < len(words) and words[number] in _MODULES else None
    passes_on = name is not None and any(verb.passes_arguments_on for verb in verbs(name))
    return name, number + 1 if passes_on else len(words)


def _set_up_log(verb: Verb) -> None:
    level = logging.INFO if verb.is_service else logging.WARNING
    logging.basicConfig(format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s", level=level)


def _report(error: LoadstoneError) -> None:
    problems = error.problems if isinstance(error, SettingsError) else (str(error),)
    sys.stderr.writelines(f"loadstone: {mask_secrets(problem)}\n" for problem in problems)
