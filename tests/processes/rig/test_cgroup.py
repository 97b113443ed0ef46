"""CgroupRig with real control groups, of the version that this machine has; on most machines they need root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadstone.errors import PlatformError, UsageError
from loadstone.host.cgroup import cgroup_of
from loadstone.rig.cgroup import CgroupRig
from loadstone.rig.command import CommandRig
from loadstone.rig.control_group import remove_groups
from loadstone.rig.rig import BrokeAtStart, LimitsDifferError, Setting, StartFailedError
from loadstone.usage.processes import ProcessTree
from support.control_groups import cgroup_rig
from support.processes import is_gone, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIB = 1024**2
SETTING = Setting(cpu_cores=0.2, mem_bytes=64 * MIB, replicas=1)
HUGE = Setting(cpu_cores=100_000, mem_bytes=64 * MIB, replicas=1)
BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
GREEDY = """
import sys
print('up', flush=True)
sys.stdin.readline()
held = bytearray(200 * 1024 * 1024)
print('has it all')
"""
PARENT = """
import json, subprocess, sys, time
from loadstone.rig.cgroup import CgroupRig
from loadstone.rig.rig import Setting
rig = CgroupRig()
before = rig.before()
rig.apply(Setting(0.2, 64 * 1024 * 1024, 1), lambda: False)
target = subprocess.Popen([*rig.target_limits().prefix, "sleep", "300"])
print(json.dumps({"before": before, "pid": target.pid}), flush=True)
time.sleep(300)
"""


def never() -> bool:
    return False


@pytest.fixture
def rig() -> Iterator[CgroupRig]:
    with cgroup_rig() as made:
        yield made


def target_of(rig: CgroupRig, code: str) -> subprocess.Popen[str]:
    """A program in place of the demo target."""
    return started([*rig.target_limits().prefix, sys.executable, "-c", code])


def started(argv: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def folders_of(rig: CgroupRig) -> list[Path]:
    return [Path(folder) for folder in rig.before()["folders"]]


def test_a_busy_target_is_throttled(rig: CgroupRig):
    assert rig.apply(SETTING, never).read_back == "its control group"
    group = rig.target_limits()
    with target_of(rig, BUSY + "\nprint('busy', flush=True)\nimport sys; sys.stdin.readline()") as target:
        assert target.stdout is not None
        assert target.stdout.readline() == "busy\n"
        group.confirm(target.pid)
        found = cgroup_of(target.pid)
        assert found is not None
        throttling = found.throttling()
        assert throttling is not None
        assert throttling.throttled_periods >= 10, "0.3 s of CPU time take 15 periods of 0.1 s at 0.2 CPU"
        target.communicate("\n")
    assert rig.memory_kills() == 0


def test_children_of_the_target_are_limited_too(rig: CgroupRig):
    rig.apply(SETTING, never)
    code = "import os, subprocess; subprocess.run(['cat', '/proc/self/cgroup'])"
    with target_of(rig, code) as target:
        output, _ = target.communicate()
    assert folders_of(rig)[0].name in output


def test_a_target_that_wants_too_much_memory_is_killed_and_its_usage_says_so(rig: CgroupRig):
    rig.apply(SETTING, never)
    with target_of(rig, GREEDY) as target:
        assert target.stdout is not None
        assert target.stdout.readline() == "up\n"
        tree = ProcessTree.of(target.pid, "target")
        assert tree is not None
        assert tree.sample(0.0) is None
        usage = tree.sample(1.0)
        assert usage is not None
        assert (usage.cpu_limit, usage.mem_limit, usage.oom) == (0.2, 64 * MIB, 0)
        output, _ = target.communicate("\n")
    assert (target.returncode, output) == (-signal.SIGKILL, "")
    assert rig.memory_kills() == 1
    usage = tree.sample(2.0)
    assert usage is not None
    assert (usage.cpu_cores, usage.cpu_limit, usage.mem_limit, usage.oom) == (0.0, 0.2, 64 * MIB, 1)
    assert tree.ended
    assert tree.sample(3.0) is None, "the kill is counted once"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param("while True: pass", BrokeAtStart, id="busy"),
        pytest.param("import sys; sys.stdin.readline()", StartFailedError, id="waits"),
    ],
)
def test_a_start_that_takes_too_long_broke_only_if_it_is_throttled_all_the_time(
    rig: CgroupRig, code: str, kind: type[Exception]
):
    rig.apply(SETTING, never)
    with target_of(rig, "print('up', flush=True)\n" + code) as target:
        assert target.stdout is not None
        assert target.stdout.readline() == "up\n"
        told = rig.target_limits().broke(PlatformError("it is not ready after 120 s"))
        target.kill()
    assert type(told) is kind


def test_each_application_makes_a_fresh_group_whose_counters_are_zero(rig: CgroupRig):
    rig.apply(SETTING, never)
    with target_of(rig, GREEDY) as target:
        target.communicate("\n")
    assert rig.memory_kills() == 1
    rig.apply(Setting(0.4, 128 * MIB, 1), never)
    assert rig.memory_kills() == 0
    with target_of(rig, "import sys; sys.stdin.readline()") as target:
        wait_until(lambda: _in_group(target.pid, rig), "it is in the group")
        rig.target_limits().confirm(target.pid)
        target.communicate("\n")


def _in_group(pid: int, rig: CgroupRig) -> bool:
    found = cgroup_of(pid)
    return found is not None and [found.memory.name, found.cpu.name] == [folders_of(rig)[0].name] * 2


def test_the_group_is_removed_in_the_end(rig: CgroupRig):
    before = rig.before()
    rig.apply(SETTING, never)
    assert all(folder.is_dir() for folder in folders_of(rig))
    assert rig.restore(before) == "the control group of the demo target is removed"
    assert not any(folder.exists() for folder in folders_of(rig))
    assert rig.restore(before) == "the control group of the demo target is removed", "doing it twice does no harm"


def test_after_a_kill_another_process_removes_group_and_target(rig: CgroupRig):
    with started([sys.executable, "-c", PARENT]) as parent:
        try:
            assert parent.stdout is not None
            told = json.loads(parent.stdout.readline())
            wait_until(lambda: all(_pids(folder) for folder in told["before"]["folders"]), "the target is in its group")
        finally:
            parent.kill()
    assert rig.restore(told["before"]) == "the control group of the demo target is removed"
    assert not any(Path(folder).exists() for folder in told["before"]["folders"])
    assert is_gone(told["pid"]), "the target is gone too"


def test_a_study_that_goes_on_after_a_kill_removes_the_group_of_then_and_its_own(rig: CgroupRig):
    killed = CgroupRig()
    before = killed.before()
    killed.apply(SETTING, never)
    rig.apply(SETTING, never)
    folders = [*folders_of(killed), *folders_of(rig)]
    assert all(folder.is_dir() for folder in folders)
    rig.restore(before)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.attack(kind="kill -9 of a study that is never resumed", outcome="the next study removes its empty groups")
def test_what_studies_that_are_gone_left_empty_is_removed(rig: CgroupRig):
    with started(["true"]) as ended:
        ended.wait()
    above = folders_of(rig)[0].parent
    empty, in_use = above / f"loadstone-{ended.pid}-00000000", above / f"loadstone-{ended.pid}-11111111"
    alive, foreign = above / f"loadstone-{os.getppid()}-22222222", above / f"loadstone-{ended.pid}"
    groups = (empty, in_use, alive, foreign)
    try:
        for folder in groups:
            folder.mkdir()
        with started(["sh", "-c", 'echo $$ > "$0/cgroup.procs"; echo in; read -r _', str(in_use)]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            rig.apply(SETTING, never)
            assert [folder.exists() for folder in groups] == [False, True, True, True]
            process.communicate("\n")
    finally:
        remove_groups(groups)


def _pids(folder: str) -> list[str]:
    return (Path(folder) / "cgroup.procs").read_text().split()


def test_limits_that_the_kernel_does_not_take_are_refused(rig: CgroupRig):
    with pytest.raises(LimitsDifferError, match=r"the kernel does not take 1e-05 CPU and 64m: .*Invalid argument"):
        rig.apply(Setting(0.00001, 64 * MIB, 1), never)


def test_a_command_that_reports_its_processes_is_believed_only_if_the_kernel_agrees(rig: CgroupRig):
    rig.apply(SETTING, never)
    with target_of(rig, "import sys\nprint('up', flush=True)\nsys.stdin.readline()") as target:
        assert target.stdout is not None
        target.stdout.readline()
        command = CommandRig(f"""echo '{{"pids": [{target.pid}]}}'""")
        command.check_fits([HUGE], 0.0)
        applied = command.apply(SETTING, never)
        assert (applied.read_back, applied.pids) == ("the control groups of its processes", (target.pid,))
        assert command.service == "target"
        with pytest.raises(UsageError, match="100000 cores, and this machine has"):
            command.check_fits([HUGE], 0.0)
        with pytest.raises(LimitsDifferError, match=r"was to have 0.4 CPU and 64m, but its control group has 0.2 CPU"):
            command.apply(Setting(0.4, 64 * MIB, 1), never)
        with pytest.raises(LimitsDifferError, match=r"x 2 replicas, but .* are in 1 control groups"):
            command.apply(Setting(0.2, 64 * MIB, 2), never)
        target.communicate("\n")


def test_two_processes_of_one_replica_are_not_measured_as_two(rig: CgroupRig):
    rig.apply(SETTING, never)
    waits = "import sys\nprint('up', flush=True)\nsys.stdin.readline()"
    with target_of(rig, waits) as first, target_of(rig, waits) as second:
        for target in (first, second):
            assert target.stdout is not None
            target.stdout.readline()
        command = CommandRig(f"""echo '{{"pids": [{first.pid}, {second.pid}]}}'""")
        with pytest.raises(UsageError, match=rf"processes {first.pid} and {second.pid} of one control group"):
            command.apply(SETTING, never)
        for target in (first, second):
            target.communicate("\n")
