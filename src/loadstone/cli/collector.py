"""Gather what workers ship, write the run folders, and pass every request on to InfluxDB (Aggregator and InfluxWriter).

With --only one of the two services runs alone; without --influx-url there is nothing but the Aggregator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.collector.service import serve
from loadstone.settings import CollectorSettings

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, CollectorSettings)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Serve until told to stop."""
    serve(settings_from(CollectorSettings, arguments), StopFlag.install())
    return 0
