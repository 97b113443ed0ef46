"""A run whose demo target starts in a control group of its own: the limits hold and stand in its run.json."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.trial import Outcome, TrialPlan, record_of
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

    from loadstone.archive.folder import RunFolder
    from loadstone.domain.live import LiveSnapshot
    from loadstone.rig.cgroup import CgroupRig

MIB = 1024**2
DEMO = REPOSITORY / "locust-worker" / "locustfile.py"
LOAD = {"users": "20", "spawn_rate": "20", "run_time": "8s", "workers": "1", "warmup": "0s", "objective": "p95<60s"}


def never() -> bool:
    return False


@pytest.fixture
def rig() -> Iterator[CgroupRig]:
    with cgroup_rig() as made:
        yield made


class Glutton:
    """Takes the memory that the target's limit leaves, as a leak would, once the target answers requests.

    The kernel then has to kill somebody in the group, and is told that this is not to be the glutton.
    """

    code = "open('/proc/self/oom_score_adj', 'w').write('-1000')\nheld = bytearray(900 * 1024 * 1024)"

    def __init__(self, rig: CgroupRig) -> None:
        self._rig = rig
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, live: LiveSnapshot | None) -> None:
        """Begin as soon as there are requests."""
        if self.process is None and live is not None and live.requests > 20:
            self.process = subprocess.Popen([*self._rig.target_limits().prefix, sys.executable, "-c", self.code])


def run_with(rig: CgroupRig, setting: Setting, results: Path, glutton: Glutton | None = None) -> RunFolder:
    """A short run under these limits."""
    rig.apply(setting, never)
    settings = load(RunSettings, {**LOAD, "results": str(results)}, environ={})
    limits = {"cpu_cores": setting.cpu_cores, "mem_bytes": setting.mem_bytes, "replicas": setting.replicas}
    how = {"limits": limits, "target_limits": rig.target_limits()}
    with LocalStack(settings, inspect([DEMO], []), **how) as stack, PlainView() as view:
        stack.start(never)
        supervisor = RunSupervisor(stack, view, lambda: _nobody_asks(supervisor, glutton))
        folder = supervisor.conduct()
    assert folder is not None
    return folder


def _nobody_asks(supervisor: RunSupervisor, glutton: Glutton | None) -> int:
    """How often somebody asked to stop the run: never. It is asked at every look, so the glutton looks too."""
    if glutton:
        glutton.look(supervisor.live)
    return 0


@pytest.mark.timeout(300)
def test_limits_hold_and_stand_with_identity_and_usage_in_run_json(rig: CgroupRig, tmp_path: Path):
    setting = Setting(cpu_cores=0.3, mem_bytes=1024 * MIB, replicas=1)
    folder = run_with(rig, setting, tmp_path / "results")
    record = json.loads((folder.path / "run.json").read_text())
    limits = record["limits"]
    assert (limits["cpu_cores"], limits["mem_bytes"], limits["replicas"]) == (0.3, 1024 * MIB, 1)
    assert record["target"]["model"] == "diabetes"
    assert record["target"]["limits"] == {"cpu_cores": 0.3, "memory_bytes": 1024 * MIB}
    usage = record["usage"]["target"]
    assert (usage["cpu_limit"], usage["mem_limit"], usage["oom"]) == (0.3, 1024 * MIB, 0)
    assert usage["throttled_pct"] is not None
    assert rig.memory_kills() == 0


@pytest.mark.attack(kind="a demo target with less memory than it starts with", outcome="said to break at its start")
@pytest.mark.timeout(200)
def test_a_target_that_has_not_the_memory_to_start_breaks(rig: CgroupRig, tmp_path: Path):
    with pytest.raises(BrokeAtStart, match=r"with 1 CPU and 64m x 1 replica: the kernel killed it for want of memory"):
        run_with(rig, Setting(cpu_cores=1, mem_bytes=64 * MIB, replicas=1), tmp_path / "results")
    assert rig.memory_kills() > 0


@pytest.mark.attack(kind="a demo target that runs out of memory under load", outcome="said to have run out of memory")
@pytest.mark.timeout(300)
def test_a_target_that_runs_out_of_memory_under_load_does_not_hold_for_that_reason(rig: CgroupRig, tmp_path: Path):
    glutton = Glutton(rig)
    setting = Setting(cpu_cores=1, mem_bytes=512 * MIB, replicas=1)
    folder = run_with(rig, setting, tmp_path / "results", glutton)
    assert glutton.process is not None
    glutton.process.kill()
    glutton.process.wait()
    trial = record_of(ClosedRun.open(folder), TrialPlan(users=20, window_s=8.0, setting=setting), rig.service)
    assert (trial.outcome, trial.broke) == (Outcome.FAILS, True)
    assert trial.reasons[0] == "target ran out of memory: 1 kill"
