"""Show what a person needs to enter the stack's pages: `docker compose run --rm cli secrets show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.compose.secrets import read_for_people
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=["show"], help="print users and passwords")
    parser.add_argument("--secrets", default="/secrets", metavar="DIR", help="where the volumes are")


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print one line per service."""
    for service, told in read_for_people(Path(arguments.secrets)).items():
        print(f"{service:<10} user {told['user']}  password {told['password']}")  # noqa: T201
    return ExitCode.PASS
