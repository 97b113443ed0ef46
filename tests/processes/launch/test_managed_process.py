"""Managed processes: started, watched, restarted within bounds and ended with all their children; their ports."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess, ReservedPorts
from support.processes import wait_until

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
