"""Check that Redis, InfluxDB and the target answer, and that the clocks agree; say what is wrong in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.cli.options import add_options, settings_from
from loadstone.errors import ExitCode
from loadstone.launch.doctor import examine
from loadstone.settings import DoctorSettings

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]

_WORDS: Final = {True: "ok", False: "WRONG", None: "-"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, DoctorSettings)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print every finding. 4 when something is wrong."""
    findings = examine(settings_from(DoctorSettings, arguments))
    for finding in findings:
        print(f"{finding.what:<9} {_WORDS[finding.ok]:<6} {finding.text}")  # noqa: T201
    wrong = any(finding.ok is False for finding in findings)
    return ExitCode.PLATFORM if wrong else ExitCode.PASS
