"""Addresses that a user gives: those that cannot be bound, resolved or understood are wrong use, never a traceback."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.doctor import examine
from loadstone.launch.local import LocalStack
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.preflight import check_free, check_reachable, preflight
from loadstone.launch.scenario import Scenario
from loadstone.settings import DoctorSettings, RunSettings, load
from support.raw_server import RawServer

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = "203.0.113.9"
"""An address of no machine (RFC 5737)."""
SCENARIO = Scenario(files=(), user_classes=("User",), hosts=(), shape=None, arguments=())


@pytest.mark.parametrize("interactive", [False, True])
def test_an_address_of_another_machine_is_refused_although_no_port_is_fixed(tmp_path: Path, *, interactive: bool):
    settings = load(RunSettings, {"bind": FOREIGN, "results": str(tmp_path)}, environ={})
    with pytest.raises(UsageError, match=rf"--bind {FOREIGN} cannot be used: .*address of this machine"):
        preflight(settings, SCENARIO, interactive=interactive)


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_cannot_be_resolved_is_refused(host: str):
    with pytest.raises(UsageError, match="--master-port 1 on"):
        check_free(host, 1, "--master-port")
    with pytest.raises(UsageError, match="cannot be reached"):
        check_reachable(f"http://{host}")


def test_a_stack_that_cannot_be_prepared_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ports = ReservedPorts()
    with pytest.raises(PlatformError, match=f"no port on {FOREIGN} can be reserved"):
        LocalStack(load(RunSettings, {"bind": FOREIGN}, environ={}), SCENARIO, ports=ports)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("date", ["soon", "Mon, 99 Foo 2026 00:00:00 GMT", ""])
def test_a_date_that_is_none_says_nothing_about_the_clock_of_a_target(date: str):
    server = RawServer()
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()
    url = server.answers([], [server.take, head])  # the first connection only looks whether somebody listens
    try:
        found = {each.what: each for each in examine(load(DoctorSettings, {"host": url}, environ={}))}
    finally:
        server.stop()
    assert found["target"].ok
    assert "clock" not in found["target"].text
