"""What `loadstone capacity` refuses before anything starts: each time one sentence with the cure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.cli.study_checks import check_question, refuse_other_target, refuse_unrecorded_usage
from loadstone.errors import UsageError
from loadstone.launch.demo_files import default_locustfile
from loadstone.launch.scenario import Scenario
from loadstone.rig.cgroup import CgroupRig
from loadstone.rig.command import CommandRig
from loadstone.settings import CapacitySettings, load

if TYPE_CHECKING:
    from loadstone.rig.rig import Rig

USERS = {"find": "users", "objective": ["p95<1s"]}
LIMITS = {"cpu": "0.5..2", "memory": "512m", "objective": ["p95<1s"]}
APPLY = {**LIMITS, "apply": "./set-limits.sh"}
OWN = Scenario(files=(Path("own.py"),), user_classes=("Own",), hosts=("http://own",), shape=None, arguments=())
DEMO = Scenario(files=(default_locustfile(),), user_classes=("Client",), hosts=(), shape=None, arguments=())


def settings(options: dict[str, Any], **more: Any) -> CapacitySettings:
    return load(CapacitySettings, {**options, **more}, environ={})


def said(options: dict[str, Any], **more: Any) -> str:
    with pytest.raises(UsageError) as refused:
        check_question(settings(options, **more))
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("replicas", "1..2"), ("price_cpu", "1"), ("price_memory", "1"), ("price_replica", "1"), ("rig", "cgroup")),
        *(("service", "api"), ("apply_timeout", "1m"), ("cpu", "1"), ("memory", "1g"), ("apply", "x")),
    ],
)
def test_what_only_limits_need_is_refused_where_users_are_found(name: str, value: str):
    option = f"--{name.replace('_', '-')}"
    assert f"--find users leaves the target as it is, so {option} has no use. Leave" in said(USERS, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("at_least", "5"), ("at_most", "500")])
def test_bounds_of_users_are_refused_where_limits_are_searched(name: str, value: str):
    option = f"--{name.replace('_', '-')}"
    assert said(APPLY, **{name: value}) == (
        f"limits are searched for one load, that of --users or --rate, so {option} has no use."
        " Leave it out, or add --find users or --find rate"
    )


@pytest.mark.parametrize("way", [APPLY, LIMITS, {**LIMITS, "rig": "cgroup"}])
def test_a_service_belongs_to_a_compose_file(way: dict[str, Any]):
    assert said(way, service="api").startswith("--service belongs to --compose-file, which is not given. ")


def test_limits_that_cost_nothing_cannot_be_the_cheapest():
    free = {"price_cpu": "0", "price_memory": "0", "price_replica": "0"}
    assert said(APPLY, **free).startswith("all prices are 0, so no limits are cheaper than others. ")
    check_question(settings(APPLY, price_cpu="0", price_memory="0", price_replica="1"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"users": "9", "at_most": "3"}, "--users 9, the first trial, is more than --at-most 3. "),
        ({"users": "9", "at_least": "20"}, "--users 9, the first trial, is less than --at-least 20. "),
    ],
)
def test_the_first_trial_is_one_that_may_be_tried(given: dict[str, str], text: str):
    assert said(USERS, **given).startswith(text)
    check_question(settings(USERS, at_most="3"))  # nobody said where to begin


def test_a_compose_file_that_is_not_there_is_named(tmp_path: Path):
    missing = str(tmp_path / "compose.yaml")
    assert said(LIMITS, compose_file=[missing]) == (
        f"the compose file {missing} does not exist. Name the files of the project with --compose-file"
    )


@pytest.mark.parametrize("name", ["apply", "restore", "service"])
def test_nothing_is_no_command_and_no_service(name: str):
    with pytest.raises(UsageError, match=rf"--{name} is '', it must be a "):
        settings(LIMITS, **{name: ""})


def test_what_may_be_found_is_one_word():
    with pytest.raises(UsageError, match=r"--find is 'speed', it must be one of users, rate$"):
        settings(USERS, find="speed")


@pytest.mark.parametrize("rig", ["cgroup", None])
@pytest.mark.parametrize("objective", ["cpu(api)<80%", "mem(target-2)<1GiB"])
def test_usage_of_a_service_that_is_not_recorded_here_is_refused(rig: str | None, objective: str):
    options = {**LIMITS, "rig": rig} if rig else USERS
    asked = settings(options, objective=[objective])
    with pytest.raises(UsageError) as refused:
        refuse_unrecorded_usage(asked, DEMO, CgroupRig() if rig else None)
    service = objective.partition("(")[2].partition(")")[0]
    assert str(refused.value) == (
        f"the objective {objective} needs CPU and memory of {service}, and only those of target will be recorded."
        " Leave the objective out, or name target in it"
    )


@pytest.mark.parametrize("objective", ["cpu(target)<80%", "p95<1s"])
def test_usage_of_the_target_is_recorded_where_its_process_is_known(objective: str):
    refuse_unrecorded_usage(settings(USERS, objective=[objective]), DEMO, None)
    refuse_unrecorded_usage(settings(USERS, objective=[objective], target_pid=["7"]), OWN, None)
    refuse_unrecorded_usage(settings(APPLY, objective=[objective]), OWN, CommandRig("x"))  # it may report pids


def test_usage_of_another_service_than_a_command_can_report_is_refused():
    with pytest.raises(UsageError, match="needs CPU and memory of api, and only those of target "):
        refuse_unrecorded_usage(settings(APPLY, objective=["cpu(api)<80%"]), OWN, CommandRig("x"))


def test_usage_that_nobody_records_is_refused():
    with pytest.raises(UsageError, match="needs CPU and memory of target, which nobody records"):
        refuse_unrecorded_usage(settings(USERS, objective=["cpu(target)<80%"]), OWN, None)


@pytest.mark.parametrize("way", [{"apply": "x"}, {"compose_file": ["compose.yaml"]}])
def test_limits_are_not_those_of_a_demo_target_that_a_trial_starts(way: dict[str, Any]):
    (option,) = (f"--{name.replace('_', '-')}" for name in way)
    with pytest.raises(UsageError) as refused:
        refuse_other_target(settings(LIMITS, **way), DEMO)
    assert str(refused.value) == (
        f"{option} limits your target, and the load goes to loadstone's own demo target."
        " Name your target with --host, and its scenario with -f"
    )
    refuse_other_target(settings(LIMITS, **way), OWN)


def test_a_control_group_is_for_the_demo_target_only():
    rig: Rig = CgroupRig()
    assert rig.service == "target"
    with pytest.raises(UsageError, match="--rig cgroup limits the demo target only"):
        refuse_other_target(settings(LIMITS, rig="cgroup"), OWN)
    refuse_other_target(settings(LIMITS, rig="cgroup"), DEMO)
