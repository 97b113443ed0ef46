"""Everything that can be wrong is found before anything is started."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.influx.client import read_token
from loadstone.launch.demo import target_folder
from loadstone.launch.ports import check_free, check_reachable
from loadstone.launch.scenario import default_locustfile, examine
from loadstone.stream.client import check, connect

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings

__all__ = ["preflight"]


def preflight(settings: RunSettings, arguments: tuple[str, ...], *, interactive: bool = False) -> Scenario:
    """The scenario, when all is in order. Raises `UsageError` or `SettingsError` saying what is not."""
    parse_objectives(settings.objective)
    read_token(settings.influx_token_file)
    _check_writable(settings.results)
    _check_ports(settings, interactive=interactive)
    scenario = examine(settings.locustfile or (default_locustfile(),), arguments)
    host = settings.host or (scenario.hosts[0] if scenario.hosts else None)
    if host:
        check_reachable(host)
    else:
        target_folder()
    if settings.redis_url:
        client = connect(settings.redis_url)
        check(client)
        client.close()
    return scenario


def _check_writable(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UsageError(
            f"the results folder {results} cannot be written to: {error.strerror or error}",
            hint="Choose another one with --results DIR",
        ) from error


def _check_ports(settings: RunSettings, *, interactive: bool) -> None:
    if settings.master_port:
        check_free(settings.bind, settings.master_port, "--master-port")
    if settings.live_port:
        check_free(settings.bind, settings.live_port, "--live-port")
    if interactive:
        check_free(settings.bind, settings.web_port, "--web-port")
    if settings.target_port and not settings.host:
        check_free("127.0.0.1", settings.target_port, "--target-port")
