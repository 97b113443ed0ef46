"""Limits and throttling of a control group, versions 1 and 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.host import cgroup
from loadstone.host.cgroup import Cgroup, Limits, Throttling, cgroup_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")
    return folder


def test_limits_of_version_2_are_the_tightest_of_all_groups_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    write(tmp_path / "outer", cpu__max="200000 100000", memory__max="1000")
    inner = write(tmp_path / "outer" / "inner", cpu__max="max 100000", memory__max="2000")
    write(inner, cpu__stat="usage_usec 5\nnr_periods 40\nnr_throttled 10\nthrottled_usec 99")
    group = Cgroup(cpu=inner, memory=inner, version=2)
    assert group.limits() == Limits(cpu_cores=2.0, mem_bytes=1000)
    assert group.throttling() == Throttling(periods=40, throttled_periods=10, throttled_us=99)


def test_limits_of_version_1_are_in_two_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    cpu = write(tmp_path / "cpu" / "c", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    write(cpu, cpu__stat="nr_periods 40\nnr_throttled 10\nthrottled_time 99000")
    memory = write(tmp_path / "memory" / "c", memory__limit_in_bytes="9223372036854771712")
    group = Cgroup(cpu=cpu, memory=memory, version=1)
    assert group.limits() == Limits(cpu_cores=0.5, mem_bytes=None)
    assert group.throttling() == Throttling(periods=40, throttled_periods=10, throttled_us=99)


def test_a_group_without_a_cpu_limit_has_no_throttling(tmp_path: Path):
    folder = write(tmp_path, cpu__stat="usage_usec 5")
    assert Cgroup(cpu=folder, memory=folder, version=2).throttling() is None


def test_a_process_is_found_in_its_groups_of_either_version(tmp_path: Path):
    one = write(tmp_path / "proc" / "1", cgroup="4:cpu,cpuacct:/c\n3:memory:/m\n0::/x")
    assert one.exists()
    for folder in ("cpu/c", "memory/m", "a/b"):
        (tmp_path / "fs" / folder).mkdir(parents=True)
    found = cgroup_of(1, proc=tmp_path / "proc", root=tmp_path / "fs")
    assert found == Cgroup(cpu=tmp_path / "fs/cpu/c", memory=tmp_path / "fs/memory/m", version=1)
    write(tmp_path / "proc" / "2", cgroup="0::/a/b")
    write(tmp_path / "fs", cgroup__controllers="cpu memory")
    found = cgroup_of(2, proc=tmp_path / "proc", root=tmp_path / "fs")
    assert found == Cgroup(cpu=tmp_path / "fs/a/b", memory=tmp_path / "fs/a/b", version=2)
    assert cgroup_of(3, proc=tmp_path / "proc", root=tmp_path / "fs") is None


def test_a_container_that_sees_only_its_own_group_is_read_at_the_root(tmp_path: Path):
    write(tmp_path / "proc" / "1", cgroup="4:cpu,cpuacct:/docker/c1\n3:memory:/docker/c1")
    write(tmp_path / "fs" / "cpu", cpu__stat="nr_periods 4\nnr_throttled 1\nthrottled_time 2000")
    found = cgroup_of(1, proc=tmp_path / "proc", root=tmp_path / "fs")
    assert found == Cgroup(cpu=tmp_path / "fs/cpu", memory=tmp_path / "fs/memory", version=1)
    assert found.throttling() == Throttling(periods=4, throttled_periods=1, throttled_us=2)
