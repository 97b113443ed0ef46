"""Record CPU and memory of processes on this machine (the UsageSampler as a service)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.settings import UsageSettings
from loadstone.usage.sampler import sample_forever

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, UsageSettings)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Sample until told to stop, or until the processes are gone."""
    sample_forever(settings_from(UsageSettings, arguments), StopFlag.install())
    return 0
