"""What a study asks, made from its settings, and whether a study that is resumed asks the same."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from loadstone.capacity.search import FIRST_LOOK_S
from loadstone.capacity.study_record import Question, SettingQuestion, StudyRecord, UsersQuestion
from loadstone.capacity.users import MEASURE_S
from loadstone.domain.masking import mask_secrets
from loadstone.domain.objective import parse_objectives
from loadstone.domain.time import NS_PER_S, iso
from loadstone.errors import UsageError
from loadstone.launch.targets import targets_text, wants_demo_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.launch.scenario import Scenario
    from loadstone.rig.rig import Rig
    from loadstone.settings import CapacitySettings

__all__ = [
    "asked",
    "check_question",
    "new_study",
    "question_of",
    "refuse_other_question",
    "refuse_other_target",
    "refuse_unrecorded_usage",
]

_FEW_FAILURES: Final = "failures<=1%"


def check_question(settings: CapacitySettings) -> None:
    """Raise `UsageError` for settings that ask nothing, or contradict each other."""
    parse_objectives(settings.objective)
    if settings.find is None and (settings.cpu is None or settings.memory is None):
        raise UsageError(
            "it is not said what to find",
            hint="Add --find users for the most users, or --users with --cpu and --memory for the cheapest limits",
        )
    if not settings.objective:
        raise UsageError("a study needs an objective", hint="Add one, such as --objective 'p95<500ms'")
    if settings.at_least > settings.at_most:
        raise UsageError(
            f"--at-least {settings.at_least} is more than --at-most {settings.at_most}", hint="Turn them round"
        )
    for name, given in (("--run-time", settings.run_time), ("--steady-state", settings.steady_state)):
        if given is not None:
            raise UsageError(f"{name} cannot be used in a study", hint="--measure says how long a trial measures")
    _check_ways(settings)


def _check_ways(settings: CapacitySettings) -> None:
    """Only one way to give limits, and only where limits are searched."""
    ways = {"--apply": settings.apply, "--compose-file": settings.compose_file}
    given = [name for name, value in ways.items() if value]
    if settings.find is not None:
        limits = [*given, *(["--cpu"] if settings.cpu else []), *(["--memory"] if settings.memory else [])]
        if limits:
            raise UsageError(
                f"--find users leaves the target as it is, so {limits[0]} has no use", hint="Leave one of them out"
            )
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


def question_of(settings: CapacitySettings) -> Question:
    """Users or limits, whichever these settings ask for."""
    if settings.find is not None or settings.cpu is None or settings.memory is None:
        return UsersQuestion(at_least=settings.at_least, at_most=settings.at_most, first=settings.users)
    return SettingQuestion(
        users=settings.users,
        cpu_cores=settings.cpu,
        mem_bytes=settings.memory,
        replicas=settings.replicas,
        price_cpu=settings.price_cpu,
        price_memory=settings.price_memory,
        price_replica=settings.price_replica,
    )


def asked(settings: CapacitySettings, scenario: Scenario | None, rig: Rig | None) -> dict[str, object]:
    """What a study asks, as fields of its record. Without a ``scenario`` it is the stack's."""
    question = question_of(settings)
    usual_s = MEASURE_S if isinstance(question, UsersQuestion) else FIRST_LOOK_S
    return {
        "scenario": tuple(map(str, scenario.files)) if scenario else (),
        "workload": _workload(settings, scenario),
        "host": targets_text(settings, scenario) if scenario else mask_secrets(settings.host or settings.stack_url),
        "rig": rig.name if rig else "",
        "objectives": _objectives(settings),
        "question": question,
        "measure_s": settings.measure or usual_s,
        "warmup_s": settings.warmup,
    }


def refuse_unrecorded_usage(settings: CapacitySettings, scenario: Scenario | None, rig: Rig | None) -> None:
    """Raise `UsageError` for an objective on CPU or memory that nobody records; a rig's command may yet tell of it."""
    if rig is not None or scenario is None or settings.target_pid or wants_demo_target(settings, scenario):
        return
    judged = next((each for each in parse_objectives(settings.objective) if each.is_usage), None)
    if judged is not None:
        raise UsageError(
            f"the objective {judged.text} needs CPU and memory of {judged.service}, which nobody records",
            hint="Name the process of the target on this machine with --target-pid, or leave the objective out",
        )


def refuse_other_target(settings: CapacitySettings, scenario: Scenario | None) -> None:
    """Raise `UsageError` where a control group is to limit a target that loadstone does not start."""
    if settings.rig == "cgroup" and not (scenario and wants_demo_target(settings, scenario)):
        raise UsageError(
            "--rig cgroup limits the demo target only, and the load goes elsewhere",
            hint="Leave -f and --host out, or give limits with --apply",
        )


def new_study(fields: Mapping[str, object], words: tuple[str, ...], *, has_secrets: bool) -> StudyRecord:
    """A study that begins now; its words are kept unless they could hold a secret."""
    now = datetime.now(UTC)
    return StudyRecord(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started_at=iso(int(now.timestamp() * NS_PER_S)),
        words=() if has_secrets or _may_have_secrets(words) else words,
        **fields,  # type: ignore[arg-type]
    )


def _may_have_secrets(words: tuple[str, ...]) -> bool:
    """Whether one of them would be masked, or what stands behind an option would."""
    named = (f"{option} {value}" for option, value in pairwise(words) if option.startswith("--"))
    return any(mask_secrets(text) != text for text in (*words, *named))


def refuse_other_question(study: StudyRecord, fields: Mapping[str, object]) -> None:
    """Raise `UsageError` when a study asked something else than these fields do."""
    other = [name for name, value in fields.items() if getattr(study, name) != value]
    if other:
        raise UsageError(
            f"study {study.id} asked something else: {', '.join(other)} differ" + ("s" if len(other) == 1 else ""),
            hint="Resume it with the options that it was started with, or start a new study",
        )


def _objectives(settings: CapacitySettings) -> tuple[str, ...]:
    """Those that were given, and one on failures: a target that refuses quickly holds nobody."""
    judged = any(objective.metric == "failures" for objective in parse_objectives(settings.objective))
    return settings.objective if judged else (*settings.objective, _FEW_FAILURES)


def _workload(settings: CapacitySettings, scenario: Scenario | None) -> str:
    """A digest that differs when the load would; it is slow to compute, since options of a scenario may be secrets."""
    files = [path.read_bytes() for path in scenario.files if path.is_file()] if scenario else []
    arguments = scenario.arguments if scenario else ()
    chosen = (arguments, settings.tags, settings.exclude_tags, settings.seed, settings.workers)
    return hashlib.scrypt(repr((files, chosen)).encode(), salt=b"loadstone", n=2**14, r=8, p=1, dklen=16).hex()
