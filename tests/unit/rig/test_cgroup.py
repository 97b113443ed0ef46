"""CgroupRig in version 2, on a file tree that stands for it, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadstone.errors import PlatformError, UsageError
from loadstone.host.cgroup import Cgroup
from loadstone.rig.cgroup import CgroupRig
from loadstone.rig.control_group import ControlGroup, remove_groups
from loadstone.rig.rig import BrokeAtStart, LimitsDifferError, Setting, StartFailedError
from support.control_groups import Version2Double

MIB = 1024**2
SETTING = Setting(cpu_cores=0.25, mem_bytes=256 * MIB, replicas=1)
SLICE = "user.slice"
OWN = "user.slice/session-1.scope"


def never() -> bool:
    return False


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version2Double:
    double = Version2Double(tmp_path, monkeypatch)
    double.group("", hands_on="cpu memory pids")
    double.group(SLICE, hands_on="cpu memory pids")
    double.group(OWN, processes=str(os.getpid()))
    double.holds(os.getpid(), OWN)
    return double


def rig_on(kernel: Version2Double) -> CgroupRig:
    return CgroupRig(proc=kernel.proc, root=kernel.root)


def folder_of(rig: CgroupRig) -> Path:
    (folder,) = rig.before()["folders"]
    return Path(folder)


def test_a_group_is_made_beside_the_own_one_which_has_processes(kernel: Version2Double):
    rig = rig_on(kernel)
    before, folder = rig.before(), folder_of(rig)
    assert before == {"folders": [str(folder)], "enabled": []}
    assert folder.parent == kernel.root / SLICE
    assert not folder.exists(), "nothing is changed before limits are applied"
    assert rig.apply(SETTING, never).read_back == "its control group"
    files = {name: (folder / name).read_text() for name in ("cpu.max", "memory.max", "memory.swap.max")}
    assert files == {"cpu.max": "25000 100000", "memory.max": str(256 * MIB), "memory.swap.max": "0"}
    assert rig.restore(before) == "the control group of the demo target is removed"
    assert not folder.exists()


def test_controllers_that_the_group_above_does_not_hand_on_are_enabled_and_taken_back(kernel: Version2Double):
    above = kernel.group(SLICE, hands_on="memory pids")
    rig = rig_on(kernel)
    before = rig.before()
    assert before["enabled"] == ["cpu"]
    rig.apply(SETTING, never)
    assert (above / "cgroup.subtree_control").read_text().startswith("+cpu")
    rig.restore(before)
    assert (above / "cgroup.subtree_control").read_text().startswith("-cpu")


def test_controllers_stay_enabled_while_another_study_needs_them(kernel: Version2Double):
    above = kernel.group(SLICE)
    one, two = rig_on(kernel), rig_on(kernel)
    before = one.before()
    one.apply(SETTING, never)
    two.apply(SETTING, never)
    one.restore(before)
    assert "+cpu" in (above / "cgroup.subtree_control").read_text()


def test_a_group_with_processes_of_its_own_is_passed_by(kernel: Version2Double):
    kernel.group(SLICE, processes="77")
    assert folder_of(rig_on(kernel)).parent == kernel.root


def test_where_every_group_has_processes_none_can_be_made(kernel: Version2Double):
    kernel.group(SLICE, processes="77")
    kernel.group("", processes="1")
    (kernel.root / "cgroup.type").touch()
    with pytest.raises(UsageError, match=r"no control group .* has processes of its own. Be root on Linux"):
        rig_on(kernel).before()


def test_where_a_controller_is_missing_none_can_be_made(kernel: Version2Double):
    for path in ("", SLICE, OWN):
        kernel.group(path)
        (kernel.root / path / "cgroup.controllers").write_text("cpu pids")
    with pytest.raises(UsageError, match="lacks the controllers memory"):
        rig_on(kernel).before()


def test_a_machine_without_control_groups_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="shows no control groups"):
        CgroupRig(proc=tmp_path, root=tmp_path).before()


def test_more_than_one_replica_is_refused(kernel: Version2Double):
    with pytest.raises(UsageError, match="has one replica only"):
        rig_on(kernel).apply(Setting(0.25, 256 * MIB, 2), never)


def test_a_target_outside_of_the_group_is_refused(kernel: Version2Double):
    rig = rig_on(kernel)
    rig.apply(SETTING, never)
    limits = rig.target_limits()
    kernel.holds(77, f"{SLICE}/{folder_of(rig).name}")
    limits.confirm(77)
    kernel.holds(77, OWN)
    with pytest.raises(LimitsDifferError, match="is not in the control group"):
        limits.confirm(77)


def failed_start(kernel: Version2Double, *, kills: int = 0, throttled: int = 0) -> Exception:
    """What a start that failed is told as, after so many kills, and throttled in so many periods of the next second."""

    def second(_: float) -> None:
        (folder_of(rig) / "cpu.stat").write_text(f"nr_periods 1010\nnr_throttled {900 + throttled}\nthrottled_usec 9\n")

    rig = CgroupRig(proc=kernel.proc, root=kernel.root, sleep=second)
    rig.apply(SETTING, never)
    (folder_of(rig) / "cpu.stat").write_text("nr_periods 1000\nnr_throttled 900\nthrottled_usec 8\n")
    (folder_of(rig) / "memory.events").write_text(f"oom {kills}\noom_kill {kills}\n")
    assert rig.memory_kills() == kills
    return rig.target_limits().broke(PlatformError("it ended", hint="see its log"))


def test_memory_that_does_not_suffice_for_a_start_breaks_the_target(kernel: Version2Double):
    error = failed_start(kernel, kills=2)
    assert isinstance(error, BrokeAtStart)
    assert str(error) == (
        "it does not start with 0.25 CPU and 256m x 1 replica: the kernel killed it for want of memory (it ended)"
    )


def test_a_start_that_is_still_throttled_when_its_time_is_up_breaks_the_target(kernel: Version2Double):
    error = failed_start(kernel, throttled=9)
    assert isinstance(error, BrokeAtStart)
    assert str(error).endswith("it was still throttled in 9 of 10 periods (it ended)")


@pytest.mark.parametrize("throttled", [0, 8])
def test_a_start_that_fails_for_no_such_reason_says_nothing_of_the_limits(kernel: Version2Double, throttled: int):
    error = failed_start(kernel, throttled=throttled)
    assert isinstance(error, StartFailedError)
    told = "it did not start with 0.25 CPU and 256m x 1 replica, and neither limit explains why: it ended"
    assert error.message == told
    assert error.hint == "see its log"


def test_a_group_that_could_be_made_only_in_part_is_removed_again(tmp_path: Path):
    place = ControlGroup(group=Cgroup(cpu=tmp_path / "one", memory=tmp_path / "missing" / "one", version=1))
    with pytest.raises(UsageError, match=r"no control group .* No such file"):
        place.make(SETTING)
    assert not list(tmp_path.iterdir())


def test_a_group_that_cannot_be_removed_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadstone.rig.control_group._EMPTY_WITHIN_S", 0.0)
    busy, other = tmp_path / "busy", tmp_path / "other"
    for folder in (busy, other):
        folder.mkdir()
    (busy / "below").mkdir()
    with pytest.raises(PlatformError, match=r"control group .*busy cannot be removed"):
        remove_groups([busy, other])
    assert not other.exists()


@pytest.mark.attack(kind="a study that names a foreign control group", outcome="refused, and nothing is removed")
@pytest.mark.parametrize("folder", ["user.slice", "../loadstone-1"])
def test_only_a_group_that_the_rig_can_have_made_is_removed(kernel: Version2Double, folder: str):
    named = kernel.root / folder
    named.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match="which it cannot have made"):
        rig_on(kernel).restore({"folders": [str(named)]})
    assert named.exists()
