"""Managed processes: started, watched, restarted within bounds and ended with all their children; their ports."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess, ReservedPorts
from loadstone.launch.valkey import PrivateValkey
from loadstone.stream.client import connect
from loadstone.stream.inbox import move_entries, send
from loadstone.stream.keys import SAMPLES
from loadstone.stream.proof import open_run
from support.collecting import secret_of
from support.processes import wait_until
from support.producers import ALLOWED, carried_out

if TYPE_CHECKING:
    from pathlib import Path

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def process_of(folder: Path, code: str, **options) -> ManagedProcess:
    return ManagedProcess(name="test", argv=[sys.executable, "-c", code], env={}, log=folder / "log", **options)


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def wait_for_log(made: ManagedProcess) -> str:
    wait_until(lambda: bool(made.tail()), "the process has said something", timeout_s=20)
    return made.tail()


def test_a_process_that_ignores_being_asked_is_ended_with_its_children(tmp_path: Path):
    made = process_of(tmp_path, STUBBORN, stop_timeout_s=0.2)
    made.start()
    child = int(wait_for_log(made))
    made.stop()
    assert not made.alive
    wait_until(lambda: has_ended(child), "the child has ended")


def test_a_process_tells_its_exit_code_and_its_last_words(tmp_path: Path):
    made = process_of(tmp_path, "print('one'); print('two'); raise SystemExit(7)")
    made.start()
    assert made.wait(20)
    assert made.exit_code == 7
    assert made.tail() == "one\ntwo"


def test_a_process_may_be_restarted_only_so_often(tmp_path: Path):
    made = process_of(tmp_path, "pass", restarts=2)
    made.start()
    for _ in range(2):
        assert made.wait(20)
        assert made.may_restart()
        made.restart()
    assert made.wait(20)
    assert not made.may_restart()


def test_a_program_that_is_not_there_is_told(tmp_path: Path):
    absent = ManagedProcess(name="absent", argv=[str(tmp_path / "nothing")], env={}, log=tmp_path / "log")
    with pytest.raises(PlatformError, match="absent could not be started"):
        absent.start()


def test_a_private_valkey_answers_only_with_its_password_and_leaves_with_its_process_of(tmp_path: Path):
    valkey = PrivateValkey.prepare(tmp_path, "127.0.0.1", ReservedPorts())
    valkey.process.start()
    try:
        valkey.wait_until_ready()
        assert valkey.remote_url is None
        with connect(valkey.url) as client:
            assert client.ping()
        with connect(f"unix://{tmp_path}/valkey.sock") as stranger, pytest.raises(Exception, match="uthentication"):
            stranger.ping()
    finally:
        valkey.process.stop()
    assert not valkey.process.alive


@pytest.mark.attack("the address that workers elsewhere get", "it lets them send and do nothing else")
def test_workers_elsewhere_may_only_send_to_a_private_valkey(tmp_path: Path):
    ports = ReservedPorts()
    valkey = PrivateValkey.prepare(tmp_path, "0.0.0.0", ports)
    valkey.process.start()
    try:
        valkey.wait_until_ready()
        url = (valkey.remote_url or "").replace("0.0.0.0", "127.0.0.1")
        with connect(url) as elsewhere, connect(valkey.url) as own:
            assert carried_out(elsewhere) == ALLOWED["worker"]
            open_run(own, secret_of())
            send(elsewhere, SAMPLES, b"batch", secret_of())
            assert move_entries(own, (SAMPLES,)) == 2
    finally:
        valkey.process.stop()
        ports.release()
    own_password, its_password = (urlsplit(each or "").password for each in (valkey.url, valkey.remote_url))
    assert own_password != its_password


def test_a_valkey_that_cannot_start_says_why(tmp_path: Path):
    valkey = PrivateValkey.prepare(tmp_path, "127.0.0.1", ReservedPorts())
    (tmp_path / "valkey.conf").write_text("no such directive\n")
    valkey.process.start()
    with pytest.raises(PlatformError, match="did not start"):
        valkey.wait_until_ready()
    valkey.process.stop()


def test_a_reserved_port_is_nobody_elses_but_a_server_can_listen_on_it_again_and_again():
    ports = ReservedPorts()
    port = ports.reserve("127.0.0.1")
    with socket.socket() as stranger, pytest.raises(OSError, match="in use") as refused:
        stranger.bind(("127.0.0.1", port))
    assert refused.value.errno == errno.EADDRINUSE
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)) as server:  # with SO_REUSEADDR
            socket.create_connection(("127.0.0.1", port)).close()
            server.accept()[0].close()
    ports.release()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))


def test_reserved_ports_differ():
    ports = ReservedPorts()
    assert len({ports.reserve("127.0.0.1") for _ in range(20)}) == 20
    ports.release()
