"""Gather what workers ship and write the run folders (the Aggregator as a service)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.collector.aggregator import serve
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
