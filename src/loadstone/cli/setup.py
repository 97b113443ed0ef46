"""One-shots of the compose stack: check its settings and make its secrets, or prepare its InfluxDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.compose.influx_setup import set_up_influx
from loadstone.compose.secrets import give_results, make_secrets
from loadstone.errors import ExitCode
from loadstone.settings import InfluxSetupSettings, StackSettings, load

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]

_SECRETS: Final = Path("/secrets")
_RESULTS: Final = Path("/data/results")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", choices=["secrets", "influx"], help="settings and secrets, or buckets and users")
    parser.add_argument("--secrets", default=str(_SECRETS), metavar="DIR", help="where the volumes are")
    parser.add_argument("--results", default=str(_RESULTS), metavar="DIR", help="folder to give to its owner")


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Do what is not done yet; doing it again changes nothing."""
    if arguments.what == "influx":
        lines = set_up_influx(load(InfluxSetupSettings))
    else:
        settings = load(StackSettings)
        give_results(Path(arguments.results), settings.uid, settings.gid)
        lines = [f"made {name}" for name in make_secrets(Path(arguments.secrets), settings.uid, settings.gid)]
    for line in lines or ["everything was there already"]:
        print(line)  # noqa: T201
    return ExitCode.PASS
