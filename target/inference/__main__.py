"""The command line: ``python -m inference train``, ``compile`` and ``serve``."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inference.errors import EXIT_WRONG_USE, RegistryAwayError, TargetError
from inference.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.settings import Settings

_COMMANDS: Final = {
    "serve": "serve the model that MODEL_URI names",
    "train": "register a small sample model under MODEL_URI's name and alias, unless the registry has it already",
    "compile": "store an ONNX graph of MODEL_URI's model in the registry, for targets without training libraries",
}
_EXIT_FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give 0, 1 when the registry is away, 2 for wrong settings or a model that cannot be served."""
    options = _parser().parse_args(arguments)
    try:
        return _call(options)(read_settings(os.environ))
    except RegistryAwayError as away:
        return _told(away, _EXIT_FAILED)
    except TargetError as problem:
        return _told(problem, EXIT_WRONG_USE)


def _call(options: argparse.Namespace) -> Callable[[Settings], int]:
    """Import only what the command needs: training libraries are no part of the serving process."""
    if options.command == "train":
        from inference.training import train  # noqa: PLC0415

        return train
    if options.command == "compile":
        from inference.compiling import compile_command  # noqa: PLC0415

        return partial(compile_command, into=options.into)
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
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in _COMMANDS.items()}
    made["compile"].add_argument("--into", type=Path, metavar="FOLDER", help="write the graph there instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
