"""Preflight: check the settings, ports, folders and servers of a run before any process is started."""

from __future__ import annotations

import socket
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.launch.demo import describe_target, target_folder
from loadstone.launch.managed_process import tcp_socket
from loadstone.launch.scenario import default_locustfile, inspect
from loadstone.settings import HookOnlySettings, load, read_token
from loadstone.stream.client import check, connect

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings

__all__ = ["check_free", "check_reachable", "preflight"]


def preflight(
    settings: RunSettings, arguments: tuple[str, ...], *, interactive: bool = False, scenario: Scenario | None = None
) -> Scenario:
    """The scenario, when everything is in order. Raises `UsageError` or `SettingsError` for the first problem."""
    parse_objectives(settings.objective)
    load(HookOnlySettings)
    read_token(settings.influx_token_file)
    _check_writable(settings.results)
    _check_ports(settings, interactive=interactive)
    scenario = scenario or inspect(settings.locustfile or (default_locustfile(),), arguments)
    host = settings.host or (scenario.hosts[0] if scenario.hosts else None)
    if host:
        check_reachable(host)
    else:
        target_folder()
    if settings.host and scenario.is_sample:
        _check_fits_sample(settings.host)
    if settings.redis_url:
        client = connect(settings.redis_url)
        check(client)
        client.close()
    return scenario


def _check_fits_sample(host: str) -> None:
    if describe_target(host) is None:
        raise UsageError(
            f"no scenario is named, and the sample one needs the demo target, which {host} is not (it has no /info)",
            hint="Name your Locust file with -f FILE; without it a locustfile.py in this folder is run",
        )


def _check_writable(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UsageError(
            f"the results folder {results} cannot be written to: {error.strerror or error}",
            hint="Name a folder that you may write to with --results DIR",
        ) from error


def _check_ports(settings: RunSettings, *, interactive: bool) -> None:
    _check_bind(settings.bind)
    if settings.master_port:
        check_free(settings.bind, settings.master_port, "--master-port")
    if settings.live_port:
        check_free(settings.bind, settings.live_port, "--live-port")
    if interactive:
        check_free(settings.bind, settings.web_port, "--web-port")
    if settings.demo_port and not settings.host:
        check_free("127.0.0.1", settings.demo_port, "--demo-port")


def _check_bind(bind: str) -> None:
    if refusal := _bind_refusal(bind, 0):
        raise UsageError(
            f"--bind {bind} cannot be used: {refusal}", hint="Name an address of this machine, or 0.0.0.0 for all"
        )


def check_free(bind: str, port: int, option: str) -> None:
    """Raise `UsageError` when the port is in use, or the address does not belong to this machine."""
    if refusal := _bind_refusal(bind, port):
        raise UsageError(
            f"{option} {port} on {bind} cannot be used: {refusal}",
            hint=f"Stop the program that listens there, or choose another port with {option}",
        )


def _bind_refusal(bind: str, port: int) -> str | None:
    """Why no server could listen there; None when one could."""
    try:
        with closing(tcp_socket(bind)) as listener:
            listener.bind((bind, port))
    except (OSError, UnicodeError) as error:
        return _reason(error)
    return None


def check_reachable(url: str, timeout_s: float = 5.0) -> None:
    """Raise `UsageError` when nothing accepts connections at an http(s) address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"the target {parts.scheme}://{parts.hostname}:{port} cannot be reached: {_reason(error)}",
            hint="Start it, or correct --host",
        ) from error


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
