"""Push the boards to your own Grafana (`loadstone grafana push`), or mark a run there (`annotate RUN`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun, resolve_run
from loadstone.cli.options import add_options, add_results, settings_from
from loadstone.errors import ExitCode, UsageError
from loadstone.grafana.annotate import annotate
from loadstone.grafana.api import GrafanaApi
from loadstone.grafana.push import DataSource, push, read_boards
from loadstone.settings import GrafanaSettings

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=["push", "annotate"], help="push folder, data source and boards; mark a run")
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the run to annotate: its id, a prefix of it, or `latest`"
    )
    add_results(parser)
    add_options(parser, GrafanaSettings)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Push or annotate; prints a line on each object."""
    if (arguments.action == "annotate") != (arguments.run is not None):
        raise UsageError("`annotate` needs a run, and `push` takes none", hint="loadstone grafana annotate RUN")
    settings = settings_from(GrafanaSettings, arguments)
    if settings.url is None:
        raise UsageError("no address of Grafana is given", hint="Give it with --url")
    with GrafanaApi(settings.url, _secret(settings.token_file, "--token-file")) as api:
        if arguments.run is not None:
            run = ClosedRun.open(resolve_run(Path(arguments.results), arguments.run))
            _say(annotate(api, run.record, settings.board))
        else:
            for line in push(api, read_boards(settings.dashboards), _source(settings)):
                _say(line)
    return ExitCode.PASS


def _source(settings: GrafanaSettings) -> DataSource | None:
    if settings.influx_url is None:
        return None
    token = _secret(settings.influx_token_file, "--influx-token-file") if settings.influx_token_file else ""
    return DataSource(url=settings.influx_url, bucket=settings.influx_bucket, token=token)


def _secret(file: Path | None, option: str) -> str:
    hint = f"Name a file that contains only the token with {option}"
    if file is None:
        raise UsageError("no token is given", hint=hint)
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"the token file {file} cannot be read: {error}", hint=hint) from error
    if len(text.split()) != 1:
        raise UsageError(f"the token file {file} does not contain exactly one word", hint=hint)
    return text


def _say(line: str) -> None:
    print(line)  # noqa: T201  (the answer)
