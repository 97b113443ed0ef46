"""Verbs that prepare or check a deployment: ``setup`` and ``secrets`` of the compose stack, ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.cli.common import Verb, add_options, say, settings_from
from loadstone.compose.influx_setup import set_up_influx
from loadstone.compose.secrets import give_results, make_secrets, read_for_people
from loadstone.compose.settings_file import problems_of_stack_file
from loadstone.compose.welcome import welcome_lines
from loadstone.domain.masking import mask_secrets
from loadstone.errors import ExitCode, SettingsError
from loadstone.launch.doctor import examine
from loadstone.settings import DoctorSettings, InfluxSetupSettings, StackSettings, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["DOCTOR", "SECRETS", "SETUP"]

_SECRETS: Final = "/secrets"
_RESULTS: Final = "/data/results"
_STATUS: Final = {True: "ok", False: "WRONG", None: "-"}


def _configure_setup_secrets(parser: argparse.ArgumentParser) -> None:
    _add_secrets(parser)
    parser.add_argument(
        "--results", default=_RESULTS, metavar="DIR", help=f"results folder to hand to its owner (default: {_RESULTS})"
    )


def _add_secrets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secrets", default=_SECRETS, metavar="DIR", help=f"folder of the secrets volumes (default: {_SECRETS})"
    )


def _setup_secrets(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    settings = load(StackSettings)
    give_results(Path(arguments.results), settings.uid, settings.gid)
    _say_changes([f"made {name}" for name in make_secrets(Path(arguments.secrets), settings.uid, settings.gid)])
    return ExitCode.PASS


def _setup_influx(_arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    _say_changes(set_up_influx(load(InfluxSetupSettings)))
    return ExitCode.PASS


def _configure_setup_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="ENVFILE", help="the file that `docker compose --env-file` will be given")
    parser.add_argument(
        "--folder",
        default=".",
        metavar="DIR",
        help="folder of docker-compose.yaml, from which paths count (default: .)",
    )


def _setup_check(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Raise with every problem, or say that there is none."""
    if problems := problems_of_stack_file(Path(arguments.file), Path(arguments.folder)):
        raise SettingsError(problems)
    say(f"{arguments.file}: every setting is valid")
    return ExitCode.PASS


def _setup_welcome(_arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    for line in welcome_lines(load(StackSettings)):
        say(line)
    return ExitCode.PASS


def _say_changes(changes: Sequence[str]) -> None:
    for line in changes or ["nothing to do: everything was in place"]:
        say(line)


def _show_secrets(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print one line per service."""
    for service, login in read_for_people(Path(arguments.secrets)).items():
        say(f"{service:<10} user {login.user}  password {login.password}")
    return ExitCode.PASS


def _doctor(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Print every finding; exit code 4 when something is wrong."""
    findings = examine(settings_from(DoctorSettings, arguments))
    for finding in findings:
        say(mask_secrets(f"{finding.what:<9} {_STATUS[finding.ok]:<6} {finding.text}"))
    wrong = any(finding.ok is False for finding in findings)
    return ExitCode.PLATFORM if wrong else ExitCode.PASS


SETUP: Final = Verb(
    name="setup",
    help="Check and prepare the compose stack; its one-shot services run this.",
    notes="Running it again changes nothing that is in place.",
    actions=(
        Verb(
            name="check",
            help="Check the stack's settings file before anything is touched, and tell every problem at once.",
            notes="What Docker or Compose would refuse halfway is checked, too. The exit code is 2 with any problem.",
            configure=_configure_setup_check,
            execute=_setup_check,
        ),
        Verb(
            name="secrets",
            help="Check the stack's settings, make its secrets and hand the results folder to its owner.",
            configure=_configure_setup_secrets,
            execute=_setup_secrets,
        ),
        Verb(
            name="influx",
            help="Create bucket, write token and read-only user in InfluxDB, and try each.",
            notes="Its settings are environment variables: see docs/reference/settings.md.",
            execute=_setup_influx,
        ),
        Verb(name="welcome", help="Say which pages of the stack to open.", execute=_setup_welcome),
    ),
)
SECRETS: Final = Verb(
    name="secrets",
    help="Show the users and passwords of the compose stack's web pages.",
    actions=(
        Verb(
            name="show",
            help="Print user and password of each service.",
            notes="In the stack: docker compose run --rm cli secrets show",
            configure=_add_secrets,
            execute=_show_secrets,
        ),
    ),
)
DOCTOR: Final = Verb(
    name="doctor",
    help="Check that Redis, InfluxDB and the target answer and that the clocks agree.",
    notes="Only what is named is checked. The exit code is 4 when a check fails.",
    configure=lambda parser: add_options(parser, DoctorSettings),
    execute=_doctor,
)
