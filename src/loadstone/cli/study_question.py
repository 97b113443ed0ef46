"""What a study asks, made from its settings, and whether a study that is resumed asks the same."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from loadstone.capacity.most import MEASURE_S
from loadstone.capacity.search import FIRST_LOOK_S
from loadstone.capacity.study_record import RateQuestion, SettingQuestion, StudyRecord, UsersQuestion
from loadstone.cli.study_load import load_range, rate_line, rate_to_hold
from loadstone.domain.arrivals import Spread
from loadstone.domain.masking import mask_secrets
from loadstone.domain.objective import parse_objectives
from loadstone.domain.time import NS_PER_S, iso
from loadstone.errors import UsageError
from loadstone.launch.targets import targets_text
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loadstone.capacity.study_record import MostQuestion, Question
    from loadstone.launch.scenario import Scenario
    from loadstone.rig.rig import Rig
    from loadstone.settings import CapacitySettings

__all__ = ["asked", "new_study", "objectives_of", "question_of", "refuse_other_question"]

_FEW_FAILURES: Final = "failures<=1%"
_UNNAMED_BEFORE: Final = "as the scenario decides"
"""What earlier versions said of the demo target, and of hosts that nobody names; the scenario tells them apart."""
_OPTIONS: Final[Mapping[str, str]] = {
    "scenario": "--locustfile",
    "workload": "the scenario's files or options, --tags, --exclude-tags, --seed or --workers",
    "host": "--host",
    "rig": "--apply, --compose-file or --rig",
    "objectives": "--objective",
    "measure_s": "--measure",
    "warmup_s": "--warmup",
    "first": "--users",
    "spread": "--arrivals",
    "cpu_cores": "--cpu",
    "mem_bytes": "--memory",
}
"""What to change where a field of a study or of its question differs; others are named like their option."""

_KINDS: Final[Mapping[type, str]] = {UsersQuestion: "users", RateQuestion: "a rate", SettingQuestion: "limits"}
_RATES: Final = frozenset({"rate", "at_least", "at_most"})


def question_of(settings: CapacitySettings) -> Question:
    """Users, a rate or limits, whichever these settings ask for. Raises `UsageError`."""
    if settings.find is not None or settings.cpu is None or settings.memory is None:
        return _most_question(settings)
    rate = rate_to_hold(settings)
    return SettingQuestion(
        users=settings.users if rate is None else None,
        rate=rate,
        spread=None if rate is None else Spread(settings.arrivals),
        max_users=settings.max_users,
        cpu_cores=settings.cpu,
        mem_bytes=settings.memory,
        replicas=settings.replicas,
        price_cpu=settings.price_cpu,
        price_memory=settings.price_memory,
        price_replica=settings.price_replica,
    )


def _most_question(settings: CapacitySettings) -> MostQuestion:
    found = load_range(settings)
    if not found.is_rate:
        return UsersQuestion(at_least=int(found.least), at_most=int(found.most), first=int(found.first))
    return RateQuestion(
        at_least=found.least,
        at_most=found.most,
        first=found.first,
        spread=Spread(settings.arrivals),
        max_users=settings.max_users,
    )


def objectives_of(settings: CapacitySettings) -> tuple[str, ...]:
    """Those that were given, and one on failures: a target that refuses quickly holds nobody."""
    judged = any(objective.metric == "failures" for objective in parse_objectives(settings.objective))
    return settings.objective if judged else (*settings.objective, _FEW_FAILURES)


def asked(settings: CapacitySettings, scenario: Scenario | None, rig: Rig | None) -> dict[str, object]:
    """What a study asks, as fields of its record. Without a ``scenario`` it is the stack's."""
    question = question_of(settings)
    usual_s = FIRST_LOOK_S if isinstance(question, SettingQuestion) else MEASURE_S
    return {
        "scenario": tuple(str(file.absolute()) for file in scenario.files) if scenario else (),
        "workload": _workload(settings, scenario),
        "host": targets_text(settings, scenario) if scenario else mask_secrets(settings.host or settings.stack_url),
        "rig": rig.name if rig else "",
        "objectives": objectives_of(settings),
        "question": question,
        "measure_s": settings.measure or usual_s,
        "warmup_s": settings.warmup,
    }


def new_study(fields: Mapping[str, object], words: tuple[str, ...] | None) -> StudyRecord:
    """A study that begins now."""
    now = datetime.now(UTC)
    return StudyRecord(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started_at=iso(int(now.timestamp() * NS_PER_S)),
        words=words,
        **fields,  # type: ignore[arg-type]
    )


def refuse_other_question(study: StudyRecord, fields: Mapping[str, Any]) -> None:
    """Raise `UsageError`, with every option that differs, when a study asked something else than these fields do."""
    other = [text for name, value in fields.items() for text in _differences(name, getattr(study, name), value)]
    if other:
        raise UsageError(
            f"study {study.id} asked something else: {'; '.join(other)}",
            hint="Resume it with the options that it was started with, or start a new study",
        )


def _differences(name: str, was: Any, now: Any) -> Iterator[str]:
    """What to say where a field differs."""
    if name == "question" and type(was) is type(now):
        parts = [(part.name, getattr(was, part.name), getattr(now, part.name)) for part in structs.fields(now)]
        of_rates = isinstance(now, RateQuestion)
        for part, before, after in parts:
            yield from _differences("rate" if of_rates and part == "first" else part, before, after)
        return
    if name == "scenario":  # which was kept as it was given before
        was = tuple(str(Path(file).absolute()) for file in was)
    if was == now or (name == "host" and was == _UNNAMED_BEFORE):
        return
    option = "--find" if name == "question" else _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    yield (
        f"{option} differ"
        if name == "workload"
        else f"{option} differs, which was {_shown(name, was)}, and is {_shown(name, now)}"
    )


def _shown(name: str, value: Any) -> str:
    if kind := _KINDS.get(type(value)):
        return kind
    if value is None:
        return "not given"
    if isinstance(value, tuple):
        return ", ".join(_shown(name, each) for each in value) or "not given"
    if name == "mem_bytes":
        return memory_text(value)
    if name in _RATES and isinstance(value, float):
        return rate_line(value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "not given"


def _workload(settings: CapacitySettings, scenario: Scenario | None) -> str:
    """A digest that differs when the load would; it is slow to compute, since options of a scenario may be secrets."""
    files = [path.read_bytes() for path in scenario.files if path.is_file()] if scenario else []
    arguments = scenario.arguments if scenario else ()
    chosen = (arguments, settings.tags, settings.exclude_tags, settings.seed, settings.workers)
    return hashlib.scrypt(repr((files, chosen)).encode(), salt=b"loadstone", n=2**14, r=8, p=1, dklen=16).hex()
