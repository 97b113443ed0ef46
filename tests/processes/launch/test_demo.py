"""DemoTarget: it is trained, awaited and described, and starts under limits; its processes are doubles."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from inference.settings import read_settings
from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.launch.demo import DemoTarget, TargetInfo, describe_target
from loadstone.launch.local import LocalStack
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.scenario import Scenario
from loadstone.launch.target_limits import TargetLimits
from loadstone.settings import RunSettings, load
from support.launch_doubles import FakeMachine, FakeProcess, Script
from support.loadstone_run import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.target_double import TargetDouble

SCENARIO = Scenario(
    files=(REPOSITORY / "locust-worker" / "locustfile.py",), user_classes=("User",), hosts=(), shape=None, arguments=()
)


class Demo:
    """A demo target of fake processes, in virtual time."""

    def __init__(self, machine: FakeMachine, folder: Path, port: int, **options: str) -> None:
        settings = load(RunSettings, {"demo_port": str(port), **options}, environ={})
        self.target = DemoTarget.prepare(settings, folder, ReservedPorts(), machine.make)
        self.script = Script(machine.clock)
        self.target.clock, self.target.sleep = machine.clock.clock, self.script.sleep

    def start(self) -> None:
        self.target.start(lambda: False)


def test_a_demo_target_is_trained_and_then_awaited(machine: FakeMachine, target: TargetDouble, tmp_path: Path):
    demo = Demo(machine, tmp_path, target.server_address[1])
    target.status, machine.ends_at_once["train"] = 503, 0
    demo.script.at(2, lambda: setattr(target, "status", 200))
    demo.start()
    assert machine.started() == ["train", "target"]
    assert demo.script.passed_s == pytest.approx(2, abs=0.1)


def test_a_model_that_was_made_before_is_not_looked_for_by_training_again(
    machine: FakeMachine, target: TargetDouble, demo_state: Path, tmp_path: Path
):
    machine.ends_at_once["train"] = 0
    Demo(machine, tmp_path, target.server_address[1]).start()
    Demo(machine, tmp_path, target.server_address[1]).start()
    assert machine.started() == ["train", "target", "train", "target"], "its registry is not there"
    (demo_state / "mlflow.db").touch()
    Demo(machine, tmp_path, target.server_address[1]).start()
    assert machine.started()[4:] == ["target"]


def test_while_a_model_is_made_no_mark_says_that_there_is_one(
    machine: FakeMachine, target: TargetDouble, demo_state: Path, tmp_path: Path
):
    demo_state.mkdir()
    (demo_state / "trained").touch()
    machine.ends_at_once["train"] = 1
    with pytest.raises(PlatformError, match="did not start"):
        Demo(machine, tmp_path, target.server_address[1]).start()
    assert not (demo_state / "trained").exists()


@pytest.fixture
def other_program(demo_state: Path) -> Iterator[int]:
    """It makes a model: its lock on the demo's folder."""
    demo_state.mkdir()
    handle = os.open(demo_state, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield handle
    with contextlib.suppress(OSError):
        os.close(handle)


def test_a_model_that_another_program_makes_is_waited_for_and_not_made_twice(
    machine: FakeMachine, target: TargetDouble, demo_state: Path, other_program: int, tmp_path: Path
):
    def is_made() -> None:
        for name in ("trained", "mlflow.db"):
            (demo_state / name).touch()
        os.close(other_program)

    demo = Demo(machine, tmp_path, target.server_address[1])
    demo.script.at(2, is_made)
    demo.start()
    assert machine.started() == ["target"]
    assert demo.script.passed_s == pytest.approx(2, abs=0.1)


def test_a_model_that_another_program_did_not_make_after_all_is_made(
    machine: FakeMachine, target: TargetDouble, other_program: int, tmp_path: Path
):
    machine.ends_at_once["train"] = 0
    demo = Demo(machine, tmp_path, target.server_address[1])
    demo.script.at(2, lambda: os.close(other_program))
    demo.start()
    assert machine.started() == ["train", "target"]


def test_a_program_that_makes_a_model_for_ever_is_named(
    machine: FakeMachine, target: TargetDouble, demo_state: Path, other_program: int, tmp_path: Path
):
    demo = Demo(machine, tmp_path, target.server_address[1])
    demo.script.at(1, lambda: machine.clock.advance(120))
    with pytest.raises(PlatformError, match="another program has been making") as refused:
        demo.start()
    assert str(demo_state) in refused.value.message
    assert machine.started() == []


def test_a_registry_without_the_model_that_was_made_for_it_gets_it_with_the_next_start(
    machine: FakeMachine, target: TargetDouble, demo_state: Path, tmp_path: Path
):
    target.status, target.why = 503, "models:/diabetes@champion is not in the registry"
    demo_state.mkdir()
    for name in ("trained", "mlflow.db"):
        (demo_state / name).touch()
    with pytest.raises(UsageError, match="the demo target has no model") as refused:
        Demo(machine, tmp_path, target.server_address[1], demo_model="models:/mine/1").start()
    assert (demo_state / "trained").exists(), "it says nothing of another model"
    assert not refused.value.hint
    with pytest.raises(UsageError, match="the demo target has no model") as refused:
        Demo(machine, tmp_path, target.server_address[1]).start()
    assert "Start it again" in refused.value.hint
    assert Demo(machine, tmp_path, target.server_address[1]).target.train


def test_a_demo_target_ends_without_waiting_for_a_balancer(machine: FakeMachine, target: TargetDouble, tmp_path: Path):
    Demo(machine, tmp_path, target.server_address[1])
    assert read_settings(machine.processes["target"].env).drain_s == 0


def test_a_training_that_refuses_its_settings_is_wrong_use(machine: FakeMachine, target: TargetDouble, tmp_path: Path):
    machine.ends_at_once["train"] = ExitCode.USAGE
    with pytest.raises(UsageError, match="the demo target refuses to start: last line of train"):
        Demo(machine, tmp_path, target.server_address[1]).start()
    assert machine.started() == ["train"]


def test_a_demo_target_that_crashes_is_a_failure_of_the_platform(
    machine: FakeMachine, target: TargetDouble, tmp_path: Path
):
    target.status = 503
    machine.ends_at_once |= {"train": 0, "target": 1}
    with pytest.raises(PlatformError, match=r"did not start \(target, exit 1\): last line of target"):
        Demo(machine, tmp_path, target.server_address[1]).start()


def test_a_model_that_the_registry_lacks_is_wrong_use_after_a_few_seconds(
    machine: FakeMachine, target: TargetDouble, tmp_path: Path
):
    target.status, target.why = 503, "models:/absent/1 is not in the registry"
    demo = Demo(machine, tmp_path, target.server_address[1], demo_model="models:/absent/1")
    with pytest.raises(UsageError, match="the demo target has no model: models:/absent/1 is not in the registry"):
        demo.start()
    assert machine.started() == ["target"], "a named model is not trained"
    assert 5 < demo.script.passed_s < 6


def test_the_demo_target_gets_the_model_that_was_named_for_it_and_no_other(
    machine: FakeMachine, target: TargetDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODEL_URI", "models:/somebody-elses/1")
    Demo(machine, tmp_path, target.server_address[1])
    assert machine.processes["target"].env["MODEL_URI"] == machine.processes["train"].env["MODEL_URI"] == ""
    Demo(machine, tmp_path, target.server_address[1], demo_model="models:/mine/1", demo_registry="sqlite:///mine.db")
    env = machine.processes["target"].env
    assert (env["MODEL_URI"], env["MLFLOW_TRACKING_URI"]) == ("models:/mine/1", "sqlite:///mine.db")


def test_a_demo_target_that_is_never_ready_is_given_up(machine: FakeMachine, target: TargetDouble, tmp_path: Path):
    target.status, machine.ends_at_once["train"] = 503, 0
    demo = Demo(machine, tmp_path, target.server_address[1])
    demo.script.at(1, lambda: machine.clock.advance(118))
    with pytest.raises(PlatformError, match="the demo target did not start"):
        demo.start()
    assert demo.script.passed_s == pytest.approx(2, abs=0.1), "after two minutes"


def test_a_target_is_described_by_the_known_part_of_its_info(target: TargetDouble):
    host = f"http://127.0.0.1:{target.server_address[1]}"
    expected = TargetInfo(model="diabetes", version="3", alias="champion", limits={"cpu_cores": 2.0})
    assert describe_target(host) == expected
    for other in ({}, [], {"model": 3}, "text"):
        target.info = other
        assert describe_target(host) is None


class LimitsDouble:
    """Stands for a rig: records which process it was asked to confirm."""

    def __init__(self) -> None:
        self.confirmed: list[int] = []
        self.limits = TargetLimits(prefix=("enter", "group"), confirm=self.confirmed.append, broke=self._broke)

    def _broke(self, error: PlatformError) -> Exception:
        return ValueError(f"broke: {error.message}")


class _Pid:
    """Stands for the open process."""

    pid = 4711


def limited_stack(machine: FakeMachine, target: TargetDouble, **how) -> LocalStack:
    options = {"redis_url": "redis://127.0.0.1:1/0", "workers": "1", "demo_port": str(target.server_address[1])}
    settings = load(RunSettings, options, environ={})
    return LocalStack(settings, SCENARIO, make_process=machine.make, **how)


def test_a_demo_target_starts_under_limits_which_are_confirmed_and_recorded(
    machine: FakeMachine, target: TargetDouble, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("loadstone.launch.local.LocalStack._start_usage", lambda _: None)  # it needs a real pid
    machine.ends_at_once["train"] = 0
    double, limits = LimitsDouble(), {"cpu_cores": 0.5, "mem_bytes": 512, "replicas": 1}
    how = {"limits": limits, "identity": {"image": "a", "model": "told"}, "target_limits": double.limits}
    with limited_stack(machine, target, **how) as stack:
        original = machine.make
        stack._make_process = lambda **given: _with_pid(original(**given))
        stack.start(lambda: False)
        assert list(machine.processes["target"].argv[:2]) == ["enter", "group"]
        assert "enter" not in machine.processes["train"].argv
        assert double.confirmed == [_Pid.pid]
        settings = machine.processes["master"].hook_settings
        assert settings.limits == {**limits, "host_cores": os.cpu_count()}
        assert (settings.target["image"], settings.target["model"]) == ("a", "diabetes")


def _with_pid(process: FakeProcess) -> FakeProcess:
    process.process = _Pid()
    return process


def test_a_target_that_does_not_start_under_its_limits_is_told_to_who_set_them(
    machine: FakeMachine, target: TargetDouble
):
    machine.ends_at_once |= {"train": 0, "target": -9}
    target.status = 503
    with limited_stack(machine, target, target_limits=LimitsDouble().limits) as stack:
        original = machine.make
        stack._make_process = lambda **given: _with_pid(original(**given))
        with pytest.raises(ValueError, match=r"broke: the demo target did not start \(target, exit -9\)"):
            stack.start(lambda: False)
