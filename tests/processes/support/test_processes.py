"""Starting programs, waiting for them, and their end with the tests; a skip fails where servers are required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis

from support.processes import ServerDiedError, ServerProcess, free_port, wait_for_progress, wait_until
from support.redis_server import AT_ONCE
from support.require import require

if TYPE_CHECKING:
    from support.redis_server import RedisServer
    from support.starters import StartRedis

ROOT = Path(__file__).resolve().parents[3]


def test_a_killed_valkey_finds_its_data_again_on_the_same_address(valkey: RedisServer):
    client = valkey.client()
    for number in range(300):
        client.xadd("samples", {"n": number})
    valkey.kill()
    with redis.Redis(port=valkey.port, retry=AT_ONCE) as impatient, pytest.raises(redis.ConnectionError):
        impatient.ping()
    valkey.start()
    assert client.xlen("samples") == 300


def test_a_small_valkey_refuses_data_instead_of_dropping_it(start_valkey: StartRedis):
    client = start_valkey(maxmemory="4mb", appendonly=False).client()

    def add(count: int) -> None:
        for _ in range(count):
            client.xadd("samples", {"payload": b"x" * 100_000})

    with pytest.raises(redis.OutOfMemoryError):
        add(100)
    assert 1 <= client.xlen("samples") < 100


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path):
    program = ServerProcess(["sh", "-c", "echo no such thing; exit 3"], log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(ServerDiedError, match="no such thing"):
        program.start()


def test_waiting_for_what_never_happens_names_it():
    with pytest.raises(AssertionError, match=r"0\.05 s: the end of time"):
        wait_until(lambda: False, "the end of time", timeout_s=0.05)


def test_waiting_goes_on_as_long_as_the_value_rises():
    values = iter(range(20))
    wait_for_progress(lambda: next(values), 19, "twenty steps", stalled_s=0.1)
    assert next(values, None) is None


def test_waiting_ends_when_the_value_no_longer_rises():
    with pytest.raises(AssertionError, match=r"users: 7 of 8 after"):
        wait_for_progress(lambda: 7, 8, "users", stalled_s=0.05)


def test_waiting_for_a_value_that_rises_for_ever_ends_too():
    values = iter(range(10**6))
    with pytest.raises(AssertionError, match=r"of 1e\+06 after"):
        wait_for_progress(lambda: next(values), 10**6, "steps", stalled_s=0.05, limit_s=0.2)


def test_a_free_port_is_none_the_kernel_gives_away():
    assert 10_240 <= free_port() < 32_768


def test_a_free_port_is_given_to_one_process_only():
    program = """
import random, sys
random.randrange = lambda *_: int(sys.argv[1])
from support.processes import free_port
free_port()
"""
    command = [sys.executable, "-c", program, str(free_port())]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: no free loopback port" in done.stderr


SKIPPING = """
import pytest

def test_skipped():
    pytest.skip("no server here")

@pytest.mark.xfail
def test_that_may_fail():
    assert False
"""


@pytest.mark.parametrize(("required", "outcome"), [("1", "1 failed, 1 xfailed"), ("", "1 skipped, 1 xfailed")])
def test_a_skip_is_a_failure_where_every_server_has_to_be_there(tmp_path: Path, required: str, outcome: str):
    (tmp_path / "test_it.py").write_text(SKIPPING)
    environment = {
        "PYTHONPATH": str(ROOT / "tests"),
        "PATH": os.environ["PATH"],
        "LOADSTONE_REQUIRE_SERVICES": required,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.no_skips",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    said = subprocess.run([*command, "-ra"], capture_output=True, text=True, env=environment).stdout
    assert outcome in said
    assert "no server here" in said


def test_a_missing_server_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert require(tmp_path, "a folder") == tmp_path
    monkeypatch.setenv("LOADSTONE_REQUIRE_SERVICES", "0")
    with pytest.raises(pytest.skip.Exception, match="no wrk"):
        require(tmp_path / "wrk", "no wrk")
    monkeypatch.setenv("LOADSTONE_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="no wrk"):
        require(None, "no wrk")


def test_servers_die_with_the_tests_that_started_them(tmp_path: Path):
    script = f"""
import os, pathlib, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from support.processes import ServerProcess
server = ServerProcess(["sleep", "60"], log=pathlib.Path({str(tmp_path / "log")!r}), ready=lambda: True).start()
print(server.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout)
    wait_until(lambda: not is_alive(pid), "the end of the server", timeout_s=5)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_locust_is_here_without_its_patches_of_the_standard_library():
    import locust
    from gevent.monkey import is_anything_patched

    assert locust.__version__
    assert not is_anything_patched()
    assert "LOCUST_SKIP_MONKEY_PATCH" not in os.environ
