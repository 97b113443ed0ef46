from __future__ import annotations

from typing import TYPE_CHECKING

from inference.limits import Limits, read_limits

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_v1_limits_are_read_from_the_processs_own_group(tmp_path: Path):
    own = tmp_path / "own"
    own.write_text("4:memory:/box/a\n2:cpuacct:/\n1:cpu,cpuset:/box/a\n")
    _write(tmp_path / "fs/cpu/box/a/cpu.cfs_quota_us", "25000\n")
    _write(tmp_path / "fs/cpu/box/a/cpu.cfs_period_us", "100000\n")
    _write(tmp_path / "fs/memory/box/a/memory.limit_in_bytes", "268435456\n")
    assert read_limits(root=tmp_path / "fs", own=own) == Limits(cpu_cores=0.25, memory_bytes=268435456)


def test_v2_limits_are_read_from_the_single_hierarchy(tmp_path: Path):
    own = tmp_path / "own"
    own.write_text("0::/box\n")
    _write(tmp_path / "fs/box/cpu.max", "50000 100000\n")
    _write(tmp_path / "fs/box/memory.max", "134217728\n")
    assert read_limits(root=tmp_path / "fs", own=own) == Limits(cpu_cores=0.5, memory_bytes=134217728)


def test_the_tightest_limit_of_the_group_and_its_ancestors_counts(tmp_path: Path):
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    _write(tmp_path / "fs/outer/cpu.max", "100000 100000\n")
    _write(tmp_path / "fs/outer/inner/cpu.max", "400000 100000\n")
    _write(tmp_path / "fs/outer/inner/memory.max", "max\n")
    assert read_limits(root=tmp_path / "fs", own=own) == Limits(cpu_cores=1.0, memory_bytes=None)


def test_inside_a_container_the_root_of_the_mount_counts_when_the_named_group_does_not_exist(tmp_path: Path):
    own = tmp_path / "own"
    own.write_text("0::/system.slice/container-1\n")
    _write(tmp_path / "fs/cpu.max", "150000 100000\n")
    assert read_limits(root=tmp_path / "fs", own=own).cpu_cores == 1.5


def test_no_limit_is_none_in_both_versions(tmp_path: Path):
    own = tmp_path / "own"
    own.write_text("4:memory:/\n1:cpu:/\n0::/\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_quota_us", "-1\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_period_us", "100000\n")
    _write(tmp_path / "fs/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert read_limits(root=tmp_path / "fs", own=own) == Limits(cpu_cores=None, memory_bytes=None)


def test_a_machine_without_cgroups_has_no_limits(tmp_path: Path):
    assert read_limits(root=tmp_path / "none", own=tmp_path / "none") == Limits(cpu_cores=None, memory_bytes=None)
