"""A run whose demo target starts in a control group of its own: the limits hold and stand in its run.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.launch.local import LocalStack
from loadstone.launch.supervisor import RunSupervisor
from loadstone.report.live_view import PlainView
from loadstone.rig.rig import BrokeAtStart, Setting
from loadstone.settings import RunSettings, load
from support.control_groups import cgroup_rig
from support.inspecting import inspect
from support.loadstone_run import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.rig.cgroup import CgroupRig

MIB = 1024**2
DEMO = REPOSITORY / "locust-worker" / "locustfile.py"
LOAD = {"users": "20", "spawn_rate": "20", "run_time": "8s", "workers": "1", "warmup": "0s"}


def never() -> bool:
    return False


@pytest.fixture
def rig() -> Iterator[CgroupRig]:
    with cgroup_rig() as made:
        yield made


def run_with(rig: CgroupRig, setting: Setting, results: Path) -> dict[str, Any]:
    """The run.json of a short run under these limits."""
    rig.apply(setting, never)
    settings = load(RunSettings, {**LOAD, "results": str(results)}, environ={})
    limits = {"cpu_cores": setting.cpu_cores, "mem_bytes": setting.mem_bytes, "replicas": setting.replicas}
    how = {"limits": limits, "target_limits": rig.target_limits()}
    with LocalStack(settings, inspect([DEMO], []), **how) as stack, PlainView() as view:
        stack.start(never)
        folder = RunSupervisor(stack, view, lambda: 0).conduct()
    assert folder is not None
    found: dict[str, Any] = json.loads((results / folder.run / "run.json").read_text())
    return found


@pytest.mark.timeout(300)
def test_limits_hold_and_stand_with_identity_and_usage_in_run_json(rig: CgroupRig, tmp_path: Path):
    setting = Setting(cpu_cores=0.3, mem_bytes=1024 * MIB, replicas=1)
    record = run_with(rig, setting, tmp_path / "results")
    limits = record["limits"]
    assert (limits["cpu_cores"], limits["mem_bytes"], limits["replicas"]) == (0.3, 1024 * MIB, 1)
    assert record["target"]["model"] == "diabetes"
    assert record["target"]["limits"] == {"cpu_cores": 0.3, "memory_bytes": 1024 * MIB}
    usage = record["usage"]["target"]
    assert (usage["cpu_limit"], usage["mem_limit"], usage["oom"]) == (0.3, 1024 * MIB, 0)
    assert usage["throttled_pct"] is not None
    assert rig.memory_kills() == 0


@pytest.mark.fault("the demo target lacks memory at its start", verdict="none", shown="that it does not start")
@pytest.mark.timeout(200)
def test_a_target_that_has_not_the_memory_to_start_breaks(rig: CgroupRig, tmp_path: Path):
    with pytest.raises(BrokeAtStart, match=r"with 1 CPU and 64m x 1 replica: the kernel killed it for want of memory"):
        run_with(rig, Setting(cpu_cores=1, mem_bytes=64 * MIB, replicas=1), tmp_path / "results")
    assert rig.memory_kills() > 0
