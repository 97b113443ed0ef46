"""``loadstone grafana push`` brings the boards into your own Grafana; ``annotate RUN`` marks a run there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.cli.common import Verb, add_options, add_results, add_run, named_run, say, settings_from
from loadstone.errors import ExitCode, UsageError
from loadstone.grafana.annotate import annotate
from loadstone.grafana.api import GrafanaApi
from loadstone.grafana.push import DataSource, push, read_boards
from loadstone.settings import GrafanaAnnotateSettings, GrafanaPushSettings, read_token

if TYPE_CHECKING:
    import argparse

    from loadstone.settings import GrafanaSettings

__all__ = ["GRAFANA"]


def _configure_push(parser: argparse.ArgumentParser) -> None:
    add_options(parser, GrafanaPushSettings)
    add_results(parser, hidden=True)


def _configure_annotate(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_results(parser)
    add_options(parser, GrafanaAnnotateSettings)


def _push(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    settings = settings_from(GrafanaPushSettings, arguments)
    with _open_api(settings) as api:
        for line in push(api, read_boards(settings.dashboards), _data_source(settings)):
            say(line)
    return ExitCode.PASS


def _annotate(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    settings = settings_from(GrafanaAnnotateSettings, arguments)
    with _open_api(settings) as api:
        say(annotate(api, ClosedRun.open(named_run(arguments)).record, settings.board))
    return ExitCode.PASS


def _open_api(settings: GrafanaSettings) -> GrafanaApi:
    if settings.url is None:
        raise UsageError("no Grafana is named", hint="Name it with --url")
    if settings.token_file is None:
        raise UsageError("no token is given", hint="Name a file that holds nothing but the token with --token-file")
    return GrafanaApi(settings.url, read_token(settings.token_file, "Grafana token", "--token-file"))


def _data_source(settings: GrafanaPushSettings) -> DataSource | None:
    if settings.influx_url is None:
        return None
    token = read_token(settings.influx_token_file)
    return DataSource(url=settings.influx_url, bucket=settings.influx_bucket, token=token)


GRAFANA: Final = Verb(
    name="grafana",
    help="Bring the boards into your own Grafana, or mark a run there.",
    actions=(
        Verb(
            name="push",
            help="Create or update folder, data source and boards in a Grafana.",
            configure=_configure_push,
            execute=_push,
        ),
        Verb(
            name="annotate",
            help="Mark the time of a run on the boards.",
            configure=_configure_annotate,
            execute=_annotate,
        ),
    ),
)
