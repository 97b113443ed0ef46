"""Preflight: check the settings, ports, folders and servers of a run before any process is started."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.launch.managed_process import tcp_socket
from loadstone.launch.reachable import reason_of, unreachable_because
from loadstone.launch.targets import check_targets
from loadstone.settings import HookOnlySettings, load, read_token
from loadstone.stream.client import check, connect

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings

__all__ = ["check_free", "check_reachable", "preflight"]


def preflight(
    settings: RunSettings, scenario: Scenario, *, interactive: bool = False, starts_later: bool = False
) -> Scenario:
    """The scenario, when everything is in order. Raises `UsageError` or `SettingsError` for the first problem.

    Hosts are not asked where the target ``starts_later``.
    """
    parse_objectives(settings.objective)
    load(HookOnlySettings)
    read_token(settings.influx_token_file)
    _check_writable(settings.results)
    _check_ports(settings, interactive=interactive)
    if not starts_later:
        scenario = replace(scenario, notes=check_targets(settings, scenario, interactive=interactive))
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
        return reason_of(error)
    return None


def check_reachable(url: str, timeout_s: float = 5.0) -> None:
    """Raise `UsageError` when nothing accepts connections at an http(s) address."""
    if reason := unreachable_because(url, timeout_s):
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        raise UsageError(
            f"the target {parts.scheme}://{parts.hostname}:{port} cannot be reached: {reason}",
            hint="Start it, or correct --host",
        )
