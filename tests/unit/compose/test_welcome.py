"""The last words of `docker compose up`: what to open, with the ports that are really published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.main import main
from loadstone.compose.welcome import welcome_lines
from loadstone.settings import StackSettings, load

if TYPE_CHECKING:
    import pytest


def said(**environ: str) -> str:
    return "\n".join(welcome_lines(load(StackSettings, environ=environ)))


def test_every_page_is_named_with_its_port_and_how_to_see_the_passwords(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    ports = {"LOCUST_PORT": "18089", "LIVE_PORT": "18090", "GRAFANA_PORT": "13000", "MLFLOW_PORT": "15000"}
    for name, port in ports.items():
        monkeypatch.setenv(name, port)
    assert main(["setup", "welcome"]) == 0
    told = capsys.readouterr().out
    assert all(f"http://localhost:{port} " in told for port in ports.values())
    assert "docker compose run --rm cli secrets show" in told


def test_the_address_that_the_pages_listen_on_is_the_one_to_open():
    assert "http://192.0.2.7:8089 " in said(BIND_ADDRESS="192.0.2.7")
    everywhere = said(BIND_ADDRESS="0.0.0.0")
    assert "http://localhost:8089 " in everywhere
    assert "every address of this machine" in everywhere


def test_a_grafana_that_asks_everybody_is_not_said_to_be_open():
    assert "no password to view" in said()
    assert "no password to view" not in said(GRAFANA_ANONYMOUS="false")
