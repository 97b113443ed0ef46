"""``loadstone VERB``: parse the command line, run the verb, and turn errors into one line each and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Final

from loadstone.cli.common import Parser
from loadstone.cli.output import checked_output
from loadstone.domain.masking import keep_secrets, mask_secrets
from loadstone.domain.text import printable
from loadstone.errors import ExitCode, LoadstoneError, OutputError, SettingsError
from loadstone.settings import MaskSettings, load
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.cli.common import Verb
    from loadstone.cli.output import CheckedStream

__all__ = ["main", "parser", "verbs"]

_MODULES: Final = {
    "init": "init",
    "run": "run",
    "up": "run",
    "capacity": "capacity",
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
_HELP: Final = frozenset({"-h", "--help"})


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
    arguments = argparse.Namespace(debug=False, verb=None)
    with checked_output() as output:
        try:
            try:
                code = _run(sys.argv[1:] if argv is None else list(argv), arguments, output)
            finally:
                output.flush()
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
        except OutputError as error:
            if not error.reader_left:
                _report(error, debug=arguments.debug)
            return error.exit_code
        except LoadstoneError as error:
            _report(error, debug=arguments.debug)
            return error.exit_code
        except Exception as error:
            if arguments.verb and arguments.verb.is_service:  # the log of a service is for whoever mends it
                raise
            _report(_unexpected(error), debug=arguments.debug)
            return ExitCode.PLATFORM
    return code


def _run(words: list[str], arguments: argparse.Namespace, output: CheckedStream) -> int:
    name, end = _named_verb(words)
    _, rest = parser(name).parse_known_args(words[:end], arguments)
    verb: Verb = arguments.verb
    if rest:
        arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    output.optional = verb.outlives_output and not _HELP & set(words)
    _set_up_log(verb)
    if not load(MaskSettings).masking:
        keep_secrets()
    return int(verb.execute(arguments, tuple(words[end:]))) if verb.execute else 0


def _named_verb(words: Sequence[str]) -> tuple[str | None, int]:
    """The verb, if one is named, and how many words to parse now: up to a verb that passes arguments on, else all."""
    number = next((number for number, word in enumerate(words) if word != "--debug"), len(words))
    name = words[number] if number < len(words) and words[number] in _MODULES else None
    passes_on = name is not None and any(verb.passes_arguments_on for verb in verbs(name))
    return name, number + 1 if passes_on else len(words)


class _SafeFormatter(logging.Formatter):
    """Log lines without secrets and without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(mask_secrets(super().format(record)))


def _set_up_log(verb: Verb) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO if verb.is_service else logging.WARNING)


def _unexpected(error: Exception) -> LoadstoneError:
    """What to say about an error that nobody foresaw; an error of the system says itself what is wrong."""
    if isinstance(error, OSError):
        return LoadstoneError(
            f"{type(error).__name__}: {error}", hint="`loadstone --debug ...` shows where it happened"
        )
    return LoadstoneError(
        f"loadstone failed in a way that it should not: {type(error).__name__}: {error}",
        hint="Run it again as `loadstone --debug ...` and report the traceback",
    )


def _report(error: LoadstoneError, *, debug: bool) -> None:
    """Print each problem on a line of its own, to standard error."""
    if debug:
        sys.stderr.write(printable(mask_secrets(traceback.format_exc())))
    problems = error.problems if isinstance(error, SettingsError) else (str(error),)
    sys.stderr.writelines(f"loadstone: {printable(mask_secrets(problem))}\n" for problem in problems)
    sys.stderr.flush()
