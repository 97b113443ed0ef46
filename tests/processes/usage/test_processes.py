"""Usage of processes: cores and memory of a tree."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.usage.processes import ProcessTree
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

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
