"""CommandRig with real shell commands."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.errors import PlatformError
from loadstone.host.cgroup import cgroup_of
from loadstone.rig.command import CommandRig
from loadstone.rig.rig import Applied, BrokeAtStart, LimitsDifferError, Setting
from support.processes import is_gone, wait_until
from support.require import missing

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024**2
SETTING = Setting(cpu_cores=0.5, mem_bytes=512 * MIB, replicas=2)
SLOW = 'sleep 300 & echo $! > "{}"; echo begun; wait'


def never() -> bool:
    return False


def once_there(file: Path) -> Callable[[], bool]:
    """Interrupted as soon as the file has content."""
    return lambda: file.exists() and bool(file.read_text())


def test_the_command_gets_the_limits_and_none_of_the_settings_of_loadstone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOADSTONE_INFLUX_TOKEN", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "mine")
    seen = tmp_path / "seen"
    applied = CommandRig(f"env > {seen}").apply(SETTING, never)
    assert applied == Applied(setting=SETTING, read_back="")
    env = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert [env[name] for name in ("CPU", "MEMORY", "MEMORY_MIB", "REPLICAS")] == ["0.5", "536870912", "512", "2"]
    assert env["KUBECONFIG"] == "mine"
    assert not any(name.startswith("LOADSTONE") for name in env)


def test_what_the_command_reports_is_told_with_its_source():
    report = (
        '{"cpu":\'"$CPU"\',"memory":\'"$MEMORY"\',"host":"http://10.0.0.1","identity":{"image":"a","token":"s3cret"}}'
    )
    rig = CommandRig(f"echo rolled out; echo '{report}'")
    assert rig.apply(SETTING, never) == Applied(
        setting=SETTING,
        read_back="what --apply reports of cpu, memory",
        identity={"image": "a", "token": "***"},
        host="http://10.0.0.1",
    )
    assert rig.service is None


@pytest.mark.attack(kind="a command for --apply that lies about limits", outcome="refused")
def test_a_command_that_sets_other_limits_is_refused():
    with pytest.raises(LimitsDifferError, match=r"asked for 0.5 CPU and 512m x 2 replicas, but reports 1 CPU and 256m"):
        CommandRig("""echo '{"cpu": 1, "memory": "256m"}'""").apply(SETTING, never)


@pytest.mark.attack(kind="a command for --apply that lies about limits", outcome="refused")
def test_a_process_that_runs_without_limits_is_refused_whatever_the_command_says():
    if cgroup_of(os.getpid()) is None:
        missing("this machine shows no control groups with CPU and memory limits")
    report = json.dumps({"cpu": 0.5, "memory": "512m", "replicas": 2, "pids": [os.getpid()]})
    with pytest.raises(LimitsDifferError, match=f"process {os.getpid()} was to have 0.5 CPU and 512m"):
        CommandRig(f"echo '{report}'").apply(SETTING, never)


def test_a_command_that_fails_is_shown_with_its_last_lines_and_without_secrets():
    noise = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i; done"
    with pytest.raises(PlatformError) as caught:
        CommandRig(f"{noise}; echo 'no cluster: password=hunter2' >&2; exit 3").apply(SETTING, never)
    text = str(caught.value)
    assert "--apply failed with 0.5 CPU and 512m x 2 replicas (exit 3)" in text
    assert text.endswith("line 13\nno cluster: password=***")
    assert "line 2\n" not in text


def test_a_secret_in_the_command_is_not_shown():
    assert "hunter2" not in CommandRig("curl -u bob:hunter2 http://api").name


def test_a_program_that_is_missing_is_named():
    with pytest.raises(PlatformError, match=r"exit 127.*\n?.*no-such-program"):
        CommandRig("no-such-program").apply(SETTING, never)


@pytest.mark.parametrize(("apply", "cure"), [("./nobody.sh", "does not find it"), ("/etc", "may not run it")])
def test_a_command_that_the_shell_cannot_run_is_told_with_what_to_do(apply: str, cure: str):
    with pytest.raises(PlatformError) as caught:
        CommandRig(apply).apply(SETTING, never)
    assert cure in caught.value.hint


def test_exit_code_69_says_that_the_target_does_not_start():
    with pytest.raises(BrokeAtStart, match=r"does not start with 0\.5 CPU and 512m x 2 replicas.*: pod is OOMKilled"):
        CommandRig("echo pod is OOMKilled >&2; exit 69").apply(SETTING, never)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path):
    child = tmp_path / "child"
    with pytest.raises(PlatformError, match="did not end within 1 s and was ended with its children: begun"):
        CommandRig(SLOW.format(child), timeout_s=1).apply(SETTING, never)
    assert is_gone(int(child.read_text()))


@pytest.mark.attack(kind="a command for --apply that ignores SIGTERM", outcome="killed with its children")
def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path):
    child = tmp_path / "child"
    with pytest.raises(PlatformError, match="did not end within 1 s"):
        CommandRig(f"trap '' TERM; {SLOW.format(child)}", timeout_s=1).apply(SETTING, never)
    wait_until(lambda: is_gone(int(child.read_text())), "its child is killed")


def test_an_interruption_ends_the_command(tmp_path: Path):
    child, begun_s = tmp_path / "child", time.monotonic()
    applied = CommandRig(SLOW.format(child), timeout_s=300).apply(SETTING, once_there(child))
    assert applied == Applied(setting=SETTING, read_back="")
    assert time.monotonic() - begun_s < 60
    assert is_gone(int(child.read_text()))


def test_a_server_that_the_command_leaves_behind_keeps_running(tmp_path: Path):
    child = tmp_path / "child"
    CommandRig(f'sleep 60 & echo $! > "{child}"').apply(SETTING, never)
    server = psutil.Process(int(child.read_text()))
    wait_until(lambda: server.name() == "sleep", "the shell has become the server")
    server.kill()


def test_what_was_there_before_is_known_only_to_the_restore_command(tmp_path: Path):
    done = tmp_path / "done"
    rig = CommandRig("true", f"touch {done}")
    assert list(rig.before()) == ["note"]
    for before in (rig.before(), {}):
        assert rig.restore(before) == "the --restore command put back what was there before"
        assert done.exists()
        done.unlink()


def test_while_no_command_runs_there_is_no_note(tmp_path: Path):
    rig = CommandRig("true", f"touch {tmp_path / 'done'}")
    note = Path(rig.before()["note"])
    rig.apply(SETTING, never)
    assert not note.exists()
    with pytest.raises(PlatformError):
        CommandRig("exit 3").apply(SETTING, never)
    assert not list(note.parent.glob(f"{note.stem}*"))


def test_a_command_reads_nothing_from_its_standard_input():
    CommandRig("cat; test $# -eq 0").apply(SETTING, never)


def test_without_a_restore_command_the_limits_that_are_left_are_told():
    rig = CommandRig("true")
    assert rig.restore({}).startswith("the limits of the last trial were left as they are")
    rig.apply(SETTING, never)
    assert rig.restore({}).startswith("the limits 0.5 CPU and 512m x 2 replicas were left as they are")


@pytest.mark.parametrize("command", ["exit 3", "exit 69"])
def test_after_an_apply_that_failed_nothing_is_said_of_limits_that_may_not_hold(command: str):
    rig = CommandRig(command)
    with pytest.raises((PlatformError, BrokeAtStart)):
        rig.apply(SETTING, never)
    left = "whatever --apply did for 0.5 CPU and 512m x 2 replicas was left as it is"
    assert rig.restore({}) == f"{left}, because no --restore command was given"


def test_a_restore_command_that_fails_is_an_error():
    with pytest.raises(PlatformError, match=r"--restore failed \(exit 5\), so limits of a trial may still hold: oh"):
        CommandRig("true", "echo oh; exit 5").restore({})
