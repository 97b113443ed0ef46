"""Usage of processes: cores and memory of a tree, and the limits of its control group, versions 1 and 2."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.host import cgroup
from loadstone.host.cgroup import Cgroup, Limits, cgroup_of
from loadstone.usage.processes import ProcessTree
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BURNER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time\\nend = time.time() + 60\\nwhile time.time() < end: pass"])
held = bytearray(64 * 1024 * 1024)
held[::4096] = b"x" * len(held[::4096])
print("ready", flush=True)
sys.stdin.read()
child.kill(); child.wait()
"""


@pytest.fixture
def burner() -> Iterator[int]:
    """A process that holds 64 MiB, with a child that keeps one core busy."""
    with subprocess.Popen([sys.executable, "-c", BURNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


def burned_s(pid: int) -> float:
    """The CPU time of a process and its children so far."""
    root = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (root, *root.children(recursive=True)))


def test_a_tree_is_its_root_and_children_together(burner: int):
    tree = ProcessTree.of(burner, "target")
    assert tree is not None
    assert tree.sample(0.0) is None, "the first look has nothing to compare with"
    begun, before = time.monotonic(), burned_s(burner)
    wait_until(lambda: burned_s(burner) > before + 0.5, "the child has used half a second of a core", timeout_s=60)
    elapsed_s, used_s = time.monotonic() - begun, burned_s(burner) - before
    usage = tree.sample(elapsed_s)
    assert usage is not None
    assert usage.service == "target"
    assert usage.cpu_cores * elapsed_s == pytest.approx(used_s, abs=0.2)
    assert usage.mem_bytes > 64 * 1024 * 1024


def test_a_process_that_is_gone_has_no_tree_and_no_usage(burner: int):
    tree = ProcessTree.of(burner, "target")
    assert tree is not None
    assert ProcessTree.of(2**22 + 1, "target") is None


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
    assert group.throttling() == (40, 10)


def test_limits_of_version_1_are_in_two_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    cpu = write(tmp_path / "cpu" / "c", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    memory = write(tmp_path / "memory" / "c", memory__limit_in_bytes="9223372036854771712")
    assert Cgroup(cpu=cpu, memory=memory, version=1).limits() == Limits(cpu_cores=0.5, mem_bytes=None)


def test_a_process_is_found_in_its_groups_of_either_version(tmp_path: Path):
    one = write(tmp_path / "proc" / "1", cgroup="4:cpu,cpuacct:/c\n3:memory:/m\n0::/x")
    assert one.exists()
    found = cgroup_of(1, proc=tmp_path / "proc", root=tmp_path / "fs")
    assert found == Cgroup(cpu=tmp_path / "fs/cpu/c", memory=tmp_path / "fs/memory/m", version=1)
    write(tmp_path / "proc" / "2", cgroup="0::/a/b")
    write(tmp_path / "fs", cgroup__controllers="cpu memory")
    found = cgroup_of(2, proc=tmp_path / "proc", root=tmp_path / "fs")
    assert found == Cgroup(cpu=tmp_path / "fs/a/b", memory=tmp_path / "fs/a/b", version=2)
    assert cgroup_of(3, proc=tmp_path / "proc", root=tmp_path / "fs") is None
