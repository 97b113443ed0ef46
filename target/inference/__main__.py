"""The command line: ``python -m inference train`` and ``python -m inference serve``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from inference.errors import EXIT_WRONG_USE, RegistryAwayError, TargetError
from inference.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.settings import Settings

_COMMANDS: Final = {
    "serve": "serve the model that MODEL_URI names",
    "train": "register a small sample model under MODEL_URI's name and alias, unless the registry has it already",
}
_EXIT_FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give 0, 1 when the registry is away, 2 for wrong settings or a model that cannot be served."""
    command = _parser().parse_args(arguments).command
    try:
        return _call(command)(read_settings(os.environ))
    except RegistryAwayError as away:
        return _told(away, _EXIT_FAILED)
    except TargetError as problem:
        return _told(problem, EXIT_WRONG_USE)


def _call(command: str) -> Callable[[Settings], int]:
    """Import only what the command needs: training libraries are no part of the serving process."""
    if command == "train":
        from inference.training import train  # noqa: PLC0415

        return train
    from inference.server import serve  # noqa: PLC0415

    return serve


def _told(problem: TargetError, code: int) -> int:
    sys.stderr.write(f"{problem.sentence()}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference", description="A target for load tests: one registry model."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        commands.add_parser(name, help=text, description=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
