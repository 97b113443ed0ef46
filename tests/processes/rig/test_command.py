"""CommandRig with real commands of the shell: what they are told, what they may report, and how they end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.errors import PlatformError, UsageError
from loadstone.rig.command import CommandRig
from loadstone.rig.rig import BrokeAtStart, LimitsDifferError, Setting
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024**2
SETTING = Setting(0.5, 512 * MIB, 2)


def never() -> bool:
    return False


def runs(pid: int) -> bool:
    """Whether a process is there, and is not one that has ended and nobody has asked for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def rig(apply: str, restore: str | None = None, timeout_s: float = 30) -> CommandRig:
    return CommandRig(apply, restore, timeout_s)


def reporting(**said: object) -> CommandRig:
    return rig(f"echo setting; echo '{json.dumps(said)}'")


def test_the_command_gets_the_limits_in_its_environment(tmp_path: Path):
    told = tmp_path / "told"
    applied = rig(f'echo "$CPU $MEMORY $MEMORY_MIB $REPLICAS" > {told}').apply(SETTING, never)
    assert told.read_text() == f"0.5 {512 * MIB} 512 2\n"
    assert (applied.setting, applied.read_back) == (SETTING, "")


def test_a_tebibyte_is_written_without_an_exponent(tmp_path: Path):
    told = tmp_path / "told"
    rig(f'echo "$MEMORY $MEMORY_MIB" > {told}').apply(Setting(0.5, 1024**4 + 7, 1), never)
    assert told.read_text() == "1099511627783 1048576\n"


def test_a_report_that_agrees_is_how_the_limits_are_known():
    applied = reporting(
        cpu=0.5,
        memory="512m",
        replicas=2,
        host="http://127.0.0.1:9",
        identity={"image": "sha256:ab", "token": "hunter22"},
    ).apply(SETTING, never)
    assert applied.read_back == "the command's own report"
    assert (applied.host, applied.identity) == ("http://127.0.0.1:9", {"image": "sha256:ab", "token": "***"})


@pytest.mark.parametrize(("cpu", "memory"), [("500m", "536870912"), ("0.5", "512Mi"), (0.5, "0.5g")])
def test_a_report_may_be_in_the_words_of_kubernetes_and_docker(cpu: float | str, memory: str):
    assert reporting(cpu=cpu, memory=memory).apply(SETTING, never).read_back == "the command's own report"


def test_a_line_that_is_no_report_is_none():
    for line in ("deployment.apps/api restarted", '{"kind": "Deployment"}', "[1]", "7", ""):
        assert rig(f"echo '{line}'").apply(SETTING, never).read_back == ""


@pytest.mark.parametrize(
    ("said", "differs"),
    [
        ({"cpu": 1.0}, "0.5 CPU and 512m was asked for, and the command of --apply reports 1 CPU and 512m"),
        ({"memory": "1g"}, "reports 0.5 CPU and 1g"),
        ({"replicas": 1}, "reports 1 replicas"),
        ({"pids": [1]}, "process 1"),
    ],
)
def test_a_command_that_lies_about_limits_is_refused(said: dict[str, object], differs: str):
    with pytest.raises(LimitsDifferError, match=differs):
        reporting(**said).apply(SETTING, never)


@pytest.mark.parametrize("said", [{"cpu": "half"}, {"memory": "much"}, {"pids": 7}, {"host": "http://"}])
def test_a_report_that_cannot_be_read_is_refused_with_what_it_may_say(said: dict[str, object]):
    with pytest.raises(UsageError, match="a report that cannot be read"):
        reporting(**said).apply(SETTING, never)


def test_a_target_that_does_not_start_with_these_limits_says_so_by_exit_code_75():
    with pytest.raises(BrokeAtStart, match=r"does not start with 0\.5 CPU and 512m x 2 replicas: OOMKilled"):
        rig("echo OOMKilled >&2; exit 75").apply(SETTING, never)


def test_any_other_exit_code_ends_the_study_with_what_was_said_and_no_secret():
    with pytest.raises(PlatformError, match="ended with exit code 3") as raised:
        rig("echo no such deployment; echo password=hunter22 >&2; exit 3").apply(SETTING, never)
    assert "no such deployment" in raised.value.message
    assert "hunter22" not in raised.value.message


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path):
    with pytest.raises(PlatformError, match=r"took more than 0\.5 s"):
        rig(f"sleep 300 & echo $! > {tmp_path}/pid; wait", timeout_s=0.5).apply(SETTING, never)
    wait_until(lambda: not runs(int((tmp_path / "pid").read_text())), "the child has ended")


def test_a_command_is_ended_when_the_study_is_interrupted(tmp_path: Path):
    begun_s = time.monotonic()
    applied = rig(f"touch {tmp_path}/begun; sleep 300").apply(SETTING, (tmp_path / "begun").exists)
    assert time.monotonic() - begun_s < 60
    assert applied.read_back == ""


def test_what_was_there_before_is_put_back_by_a_command_or_said_to_be_gone(tmp_path: Path):
    limited = rig("true", f"touch {tmp_path}/restored")
    limited.apply(SETTING, never)
    assert limited.restore(limited.before()) == "what was there before is put back, as --restore says"
    assert (tmp_path / "restored").exists()
    left = rig("true")
    left.apply(SETTING, never)
    assert left.restore({}) == (
        "the target has 0.5 CPU and 512m x 2 replicas: no --restore says how to put back what was there"
    )
    with pytest.raises(PlatformError, match="the command of --restore ended with exit code 1"):
        rig("true", "false").restore({})
