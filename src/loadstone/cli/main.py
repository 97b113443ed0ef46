"""``loadstone VERB``: parse, run the verb, and turn every error into plain words and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Final

from loadstone.cli import (
    collector,
    compare,
    doctor,
    export,
    grafana,
    influx,
    recover,
    report,
    run,
    runs,
    secrets,
    setup,
    show,
    up,
    usage,
    worker,
)
from loadstone.errors import LoadstoneError, SettingsError
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "parser"]

_VERBS: Final = {
    "run": run,
    "up": up,
    "worker": worker,
    "runs": runs,
    "show": show,
    "compare": compare,
    "export": export,
    "report": report,
    "recover": recover,
    "influx": influx,
    "grafana": grafana,
    "doctor": doctor,
    "collector": collector,
    "usage": usage,
    "setup": setup,
    "secrets": secrets,
}
_SERVICES: Final = frozenset({"collector", "usage"})
_PASSES_ARGUMENTS_ON: Final = frozenset({"run", "up", "worker"})


def parser() -> argparse.ArgumentParser:
    """The parser of every verb."""
    top = argparse.ArgumentParser(
        prog="loadstone",
        description="Distributed load tests whose every request is kept and whose numbers can be trusted.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"loadstone {__version__}")
    top.add_argument("--debug", action="store_true", help="show where in the code an error came from")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in _VERBS.items():
        text = (module.__doc__ or "").strip()
        sub = verbs.add_parser(name, help=text.splitlines()[0], description=text, allow_abbrev=False)
        module.configure(sub)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. The exit code; nothing is raised but what argparse raises for ``--help`` and wrong options."""
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    if rest and arguments.verb not in _PASSES_ARGUMENTS_ON:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    level = logging.INFO if arguments.verb in _SERVICES else logging.WARNING
    logging.basicConfig(format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s", level=level)
    try:
        return int(_VERBS[arguments.verb].execute(arguments, tuple(rest)))
    except LoadstoneError as error:
        if arguments.debug:
            traceback.print_exc()
        _complain(error)
        return int(error.exit_code)


def _complain(error: LoadstoneError) -> None:
    problems = error.problems if isinstance(error, SettingsError) else (str(error),)
    for problem in problems:
        print(f"loadstone: {problem}", file=sys.stderr)  # noqa: T201  (the terminal is where it belongs)
