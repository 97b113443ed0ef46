"""What a study refuses before anything starts: settings that ask nothing, contradict each other, or have no use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.capacity.grid import grid_of
from loadstone.capacity.study_record import SettingQuestion
from loadstone.cli.rigs import rig_for
from loadstone.cli.study_load import check_load
from loadstone.cli.study_question import question_of
from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.launch.targets import wants_demo_target
from loadstone.rig.compose_project import ComposeRig
from loadstone.settings import CapacitySettings, load

if TYPE_CHECKING:
    from collections.abc import Collection

    from loadstone.launch.scenario import Scenario
    from loadstone.rig.rig import Rig

__all__ = ["check_question", "fitting_rig", "refuse_other_target", "refuse_unrecorded_usage"]

_OF_LIMITS: Final = (
    *("cpu", "memory", "replicas", "apply", "restore", "compose_file", "rig", "service", "apply_timeout"),
    *("price_cpu", "price_memory", "price_replica"),
)
_OF_RANGES: Final = ("at_least", "at_most")
_TARGET: Final = "target"
"""The service as which the usage of processes is recorded: those of --target-pid, of --apply, or the demo target's."""


def check_question(settings: CapacitySettings) -> None:
    """Raise `UsageError` for settings that ask nothing, contradict each other, or would have no effect."""
    parse_objectives(settings.objective)
    if settings.find is None and (settings.cpu is None) != (settings.memory is None):
        present, missing = ("--memory", "--cpu") if settings.cpu is None else ("--cpu", "--memory")
        raise UsageError(f"{present} is given without {missing}", hint=f"Add {missing}; a single value will do")
    if settings.find is None and settings.cpu is None:
        raise UsageError(
            "nothing says what to find",
            hint="Add --find users or --find rate for the most that the target holds, or --users or --rate with --cpu"
            " and --memory for the cheapest limits",
        )
    if not settings.objective:
        raise UsageError("a study needs an objective", hint="Add one, such as --objective 'p95<500ms'")
    if settings.find is not None:
        _refuse_limits(settings)
    else:
        _check_limits(settings)
    check_load(settings)


def _refuse_limits(settings: CapacitySettings) -> None:
    usual = _usual()
    for name in _OF_LIMITS:
        if getattr(settings, name) != getattr(usual, name):
            raise UsageError(
                f"--find {settings.find} leaves the target as it is, so {_option(name)} has no use",
                hint="Leave one of them out",
            )


def _check_limits(settings: CapacitySettings) -> None:
    usual = _usual()
    for name in _OF_RANGES:
        if getattr(settings, name) is not None:
            raise UsageError(
                f"limits are searched for one load, that of --users or --rate, so {_option(name)} has no use",
                hint="Leave it out, or add --find users or --find rate",
            )
    if not (settings.price_cpu or settings.price_memory or settings.price_replica):
        raise UsageError(
            "all prices are 0, so no limits are cheaper than others",
            hint="Give --price-cpu, --price-memory or --price-replica a value above 0",
        )
    _check_ways(settings)
    if settings.service != usual.service and not settings.compose_file:
        raise UsageError(
            "--service belongs to --compose-file, which is not given",
            hint="Name the files of the project, or leave --service out",
        )
    for file in settings.compose_file:
        if not file.exists():
            raise UsageError(
                f"the compose file {file} does not exist", hint="Name the files of the project with --compose-file"
            )


def _check_ways(settings: CapacitySettings) -> None:
    """Only one way to give limits."""
    ways = {"--apply": settings.apply, "--compose-file": settings.compose_file}
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are two ways to give limits", hint="Choose one")
    if settings.restore and not settings.apply:
        raise UsageError("--restore belongs to --apply, which is not given", hint="Add it, or leave --restore out")
    if settings.rig == "cgroup" and (given or settings.stack):
        raise UsageError(
            f"--rig cgroup is one way to give limits, and {given[0] if given else '--stack'} another", hint="Choose one"
        )
    if given and settings.stack:
        raise UsageError(f"{given[0]} cannot be used with --stack", hint="In the stack loadstone gives limits itself")
    if settings.rig == "cgroup" and settings.apply_timeout != _usual().apply_timeout:
        raise UsageError(
            "--rig cgroup has no replicas to wait for, so --apply-timeout has no use", hint="Leave one of them out"
        )


def fitting_rig(settings: CapacitySettings, scenario: Scenario | None) -> Rig | None:
    """The rig that gives the limits of a study, if it asks for any. It changes nothing yet.

    Raises `UsageError` where it does not fit the target, this machine, or what the objectives need.
    """
    refuse_other_target(settings, scenario)
    rig = rig_for(settings)
    refuse_unrecorded_usage(settings, scenario, rig)
    question = question_of(settings)
    if rig is not None and isinstance(question, SettingQuestion):
        rig.check_fits(grid_of(question).extremes(), 0.0)
    return rig


def refuse_other_target(settings: CapacitySettings, scenario: Scenario | None) -> None:
    """Raise `UsageError` where the load would go to another target than the one that gets the limits."""
    is_demo = scenario is not None and wants_demo_target(settings, scenario)
    if settings.rig == "cgroup" and not is_demo:
        raise UsageError(
            "--rig cgroup limits the demo target only, and the load goes elsewhere",
            hint="Leave -f and --host out, or give limits with --apply",
        )
    if is_demo and (settings.apply or settings.compose_file):
        option = "--apply" if settings.apply else "--compose-file"
        raise UsageError(
            f"{option} limits your target, and the load goes to loadstone's own demo target",
            hint="Name your target with --host, and its scenario with -f",
        )


def refuse_unrecorded_usage(settings: CapacitySettings, scenario: Scenario | None, rig: Rig | None) -> None:
    """Raise `UsageError` for an objective on CPU or memory of a service that will not be recorded.

    The command of ``--apply`` may still report the processes of the target, and its first report decides.
    """
    recorded = _recorded(settings, scenario, rig)
    if recorded is None:
        return
    for judged in parse_objectives(settings.objective):
        if judged.service is None or judged.service in recorded:
            continue
        needs = f"the objective {judged.text} needs CPU and memory of {judged.service}"
        if not recorded:
            raise UsageError(
                f"{needs}, which nobody records",
                hint="Name the process of the target on this machine with --target-pid, or leave the objective out",
            )
        names = ", ".join(sorted(recorded))
        one = f"name {'one of them' if len(recorded) > 1 else names} in it"
        raise UsageError(
            f"{needs}, and only those of {names} will be recorded", hint=f"Leave the objective out, or {one}"
        )


def _recorded(settings: CapacitySettings, scenario: Scenario | None, rig: Rig | None) -> Collection[str] | None:
    """The services whose usage a run will record; None in a stack that nobody has looked at."""
    if isinstance(rig, ComposeRig):
        return {*rig.services(), *([_TARGET] if settings.target_pid else ())}
    if scenario is None:
        return None
    if rig is not None or settings.target_pid or wants_demo_target(settings, scenario):
        return {_TARGET}
    return ()


def _usual() -> CapacitySettings:
    return load(CapacitySettings, environ={})


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
