"""``loadstone VERB``: parse the command line, run the verb, and turn errors into one line each and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Final

from loadstone.cli import grafana, influx, run, runs, services, stack
from loadstone.cli.common import Parser
from loadstone.domain.masking import keep_secrets, mask_secrets
from loadstone.errors import LoadstoneError, SettingsError
from loadstone.settings import MaskSettings, load
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.cli.common import Verb

__all__ = ["VERBS", "main", "parser"]

VERBS: Final[tuple[Verb, ...]] = (
    run.RUN,
    run.UP,
    services.WORKER,
    runs.RUNS,
    runs.SHOW,
    runs.COMPARE,
    runs.EXPORT,
    runs.REPORT,
    runs.RECOVER,
    influx.INFLUX,
    grafana.GRAFANA,
    stack.DOCTOR,
    services.COLLECTOR,
    services.USAGE,
    stack.SETUP,
    stack.SECRETS,
)


def parser() -> Parser:
    """The parser of every verb."""
    top = Parser(
        prog="loadstone",
        description="Distributed load tests that record every request and account for every number.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"loadstone {__version__}")
    top.add_argument("--debug", action="store_true", help="print the Python traceback of an error")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_to(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code; raises nothing but argparse's `SystemExit` for ``--help``."""
    arguments = argparse.Namespace(debug=False)
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        end = _end_of_verb(words)
        _, rest = parser().parse_known_args(words[:end], arguments)
        verb: Verb = arguments.verb
        if rest:
            arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}")
        _set_up_log(verb)
        if not load(MaskSettings).mask_secrets:
            keep_secrets()
        return int(verb.execute(arguments, tuple(words[end:]))) if verb.execute else 0
    except LoadstoneError as error:
        if arguments.debug:
            traceback.print_exc()
        _report(error)
        return int(error.exit_code)


def _end_of_verb(words: Sequence[str]) -> int:
    """How many words to parse now: up to a verb that passes arguments on, else all."""
    number = next((number for number, word in enumerate(words) if not word.startswith("-")), len(words))
    passing = {verb.name for verb in VERBS if verb.passes_arguments_on}
    return number + 1 if number < len(words) and words[number] in passing else len(words)


def _set_up_log(verb: Verb) -> None:
    level = logging.INFO if verb.is_service else logging.WARNING
    logging.basicConfig(format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s", level=level)


def _report(error: LoadstoneError) -> None:
    problems = error.problems if isinstance(error, SettingsError) else (str(error),)
    sys.stderr.writelines(f"loadstone: {mask_secrets(problem)}\n" for problem in problems)
