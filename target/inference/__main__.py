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
    "train": "register a small sample model under MODEL_URI's name and alias, unless it is already registered",
    "copy": "copy what a target serves from the registry into a folder; a target with TARGET_COPIES does it by itself",
    "compile": "store an ONNX graph of the model in MODEL_URI in the registry, for targets without training libraries",
}
_EXIT_FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 when the registry is unavailable, 2 for invalid settings or an unusable model."""
    options = _parser().parse_args(arguments)
    try:
        return _call(options)(read_settings(os.environ))
    except RegistryAwayError as unavailable:
        return _report(unavailable, _EXIT_FAILED)
    except TargetError as error:
        return _report(error, EXIT_WRONG_USE)


def _call(options: argparse.Namespace) -> Callable[[Settings], int]:
    """Import only what the command needs, to keep training libraries out of the serving process."""
    if options.command == "train":
        from inference.training import train  # noqa: PLC0415

        return train
    if options.command == "copy":
        from inference.copying_registry import copy_command  # noqa: PLC0415

        return partial(copy_command, into=options.into)
    if options.command == "compile":
        from inference.compiling import compile_command  # noqa: PLC0415

        return partial(compile_command, into=options.into)
    from inference.server import serve  # noqa: PLC0415

    return serve


def _report(error: TargetError, exit_code: int) -> int:
    sys.stderr.write(f"{error.sentence()}\n")
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference", description="A target for load tests: serve one model of an MLflow registry."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    added = {name: commands.add_parser(name, help=text, description=text) for name, text in _COMMANDS.items()}
    added["compile"].add_argument(
        "--into", type=Path, metavar="FOLDER", help="write the graph to this folder instead of the registry"
    )
    added["copy"].add_argument(
        "--into", type=Path, metavar="FOLDER", required=True, help="a folder that is not there yet"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
