"""The plots of a study's page: the map of trials, the price of each, and latency against CPU or load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.capacity.grid import grid_of
from loadstone.capacity.markup import Markup, element, figure, table
from loadstone.capacity.phrases import counted
from loadstone.capacity.plots import ANSWER, LIMIT, STEPS, Axis, Cell, Mark, cells, legend, scatter
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion
from loadstone.domain.objective import parse_objectives
from loadstone.rig.rig import Setting, memory_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadstone.capacity.study_record import StudyRecord, TrialRecord

__all__ = ["Tried", "cost_of", "latency_plot", "map_of_settings", "price_plot", "state_of", "tried_settings"]

_LATENCIES: Final = ("p95_ms", "p99_ms", "mean_ms", "max_ms")
_FOUND: Final = {"holds": "holds", "fails": "fails", "breaks": "breaks", "undecided": "undecided"}
_NUMBER: Final = "number"
_RING: Final = (ANSWER, "the answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A setting that was tried: how many of its valid trials held, how many were invalid, and what that makes it."""

    setting: Setting
    held: int
    valid: int
    invalid: int
    state: str

    @property
    def text(self) -> str:
        """Its trials, for people."""
        invalid = f", {self.invalid} invalid" if self.invalid else ""
        return f"{self.held} of {counted(self.valid, 'trial')} held{invalid}"


def state_of(trial: TrialRecord) -> str:
    """What a trial is drawn as."""
    if trial.outcome == "invalid":
        return "invalid"
    return "breaks" if trial.broke else "holds" if trial.outcome == "holds" else "fails"


def tried_settings(study: StudyRecord) -> list[Tried]:
    """Every setting with a trial, the smallest first: by replicas, CPU and memory."""
    trials: dict[Setting, list[TrialRecord]] = {}
    for trial in study.trials:
        if trial.setting is not None:
            trials.setdefault(trial.setting, []).append(trial)
    found = _findings(study)
    return [
        _tried(setting, trials[setting], found.get(setting))
        for setting in sorted(trials, key=lambda each: (each.replicas, each.cpu_cores, each.mem_bytes))
    ]


def _findings(study: StudyRecord) -> dict[Setting, str]:
    """What the answer says of settings."""
    answer = study.answer
    if not isinstance(answer, SettingAnswerRecord):
        return {}
    found = {each.setting: _FOUND[each.finding] for each in answer.smaller}
    return found | ({answer.setting: "holds"} if answer.setting else {})


def _tried(setting: Setting, trials: Sequence[TrialRecord], found: str | None) -> Tried:
    states = [state_of(trial) for trial in trials]
    held, missed = states.count("holds"), states.count("fails")
    if found is None and "breaks" in states:
        found = "breaks"
    elif found is None and held == missed:
        found = "undecided" if held else "invalid"
    invalid = states.count("invalid")
    return Tried(
        setting=setting,
        held=held,
        valid=len(states) - invalid,
        invalid=invalid,
        state=found or ("holds" if held > missed else "fails"),
    )


def map_of_settings(study: StudyRecord, question: SettingQuestion) -> Markup:
    """CPU and memory for each number of replicas that was tried, what follows from it, and all of it as a table."""
    tried = tried_settings(study)
    numbers = [count for count in question.replicas if any(each.setting.replicas == count for each in tried)]
    maps = [_map(study, question, tried, count) for count in numbers]
    states = {each.state for each in tried}
    implied = {"implied-holds"} if "holds" in states else set[str]()
    implied |= {"implied-fails"} if states & {"fails", "breaks"} else set()
    ringed = _answered(study) is not None
    return element(
        "div",
        legend([*states, *implied], more=[_RING] if ringed else []),
        element("div", *maps, class_="charts"),
        _settings_table(question, tried),
    )


def _answered(study: StudyRecord) -> Setting | None:
    return study.answer.setting if isinstance(study.answer, SettingAnswerRecord) else None


def _map(study: StudyRecord, question: SettingQuestion, tried: Sequence[Tried], replicas: int) -> Markup:
    title = counted(replicas, "replica")
    here = {each.setting: each for each in tried if each.setting.replicas == replicas}
    found = []
    for column, cpu in enumerate(question.cpu_cores):
        for row, mem in enumerate(question.mem_bytes):
            setting = Setting(cpu, mem, replicas)
            one = here.get(setting)
            found.append(
                Cell(
                    column=column,
                    row=row,
                    state=one.state if one else _implied(setting, here.values()),
                    title=f"{setting}: {one.text}" if one else "",
                    is_answer=setting == _answered(study),
                )
            )
    drawing = cells(
        f"Trials with {title}: CPU to the right, memory upwards",
        [f"{cpu:g}" for cpu in question.cpu_cores],
        [memory_text(mem) for mem in question.mem_bytes],
        "CPU of one replica, cores",
        found,
    )
    return figure(f"map-{replicas}", title, "memory against CPU, of one replica", drawing)


def _implied(setting: Setting, tried: Iterable[Tried]) -> str:
    """What follows for a setting that was not tried, if more CPU or memory never does harm; empty if nothing does."""
    above, below = False, False
    for each in tried:
        other = each.setting
        if each.state == "holds":
            above |= setting.cpu_cores >= other.cpu_cores and setting.mem_bytes >= other.mem_bytes
        elif each.state in {"fails", "breaks"}:
            below |= setting.cpu_cores <= other.cpu_cores and setting.mem_bytes <= other.mem_bytes
    if above is below:
        return ""
    return "implied-holds" if above else "implied-fails"


def _settings_table(question: SettingQuestion, tried: Sequence[Tried]) -> Markup:
    columns = [("replicas", _NUMBER), ("CPU", _NUMBER), ("memory", _NUMBER), ("price an hour", _NUMBER)]
    rows = [
        (
            f"{each.setting.replicas:,}",
            f"{each.setting.cpu_cores:g}",
            memory_text(each.setting.mem_bytes),
            f"{cost_of(question, each.setting):.3g}",
            each.text,
        )
        for each in tried
    ]
    grid = table("Settings that were tried", [*columns, ("trials", "")], rows)
    return element("details", element("summary", "Numbers"), grid, class_="numbers")


def cost_of(question: SettingQuestion, setting: Setting) -> float:
    """What an hour of a setting costs."""
    return grid_of(question).prices.of(setting)


def price_plot(study: StudyRecord, question: SettingQuestion) -> Markup:
    """The price of each trial's setting, in order, and the cheapest that had held by then."""
    marks, steps, cheapest = [], list[tuple[float, float]](), None
    settings = {each.setting: each for each in tried_settings(study)}
    for number, trial in enumerate(study.trials, 1):
        if trial.setting is None:
            continue
        cost = cost_of(question, trial.setting)
        marks.append(Mark(x=number, y=cost, state=state_of(trial), title=_told(number, trial)))
        if settings[trial.setting].state == "holds" and (cheapest is None or cost < cheapest):
            steps += [(number, cheapest)] if cheapest is not None else []
            steps.append((number, cost))
            cheapest = cost
    if cheapest is not None:
        steps.append((len(study.trials), cheapest))
    label = "Price of each trial's setting, in the order of trials; the line is the cheapest that held"
    drawing = scatter(
        label,
        Axis(title="trial", values=[mark.x for mark in marks], whole=True, may_be_log=False),
        Axis(title="price", values=[mark.y for mark in marks]),
        marks,
        steps=steps,
    )
    more = [(STEPS, "the cheapest setting that holds, as far as known by then")]
    return figure("price", "Price of what was tried", "an hour", drawing, legend([m.state for m in marks], more=more))


def latency_plot(study: StudyRecord) -> Markup:
    """Latency against the CPU of all replicas together, or against users or arrivals; the dashed line is its limit."""
    metric, limit_ms = _judged_latency(study)
    name = metric.removesuffix("_ms")
    by_load = not study.asks_setting
    marks = []
    for number, trial in enumerate(study.trials, 1):
        value = getattr(trial, metric)
        load = trial.load.amount if by_load else trial.setting and trial.setting.cpu_cores * trial.setting.replicas
        if value is not None and load:
            is_answer = _is_answered(study, trial)
            marks.append(Mark(x=load, y=value, state=state_of(trial), title=_told(number, trial), is_answer=is_answer))
    against = study.load_unit if by_load else "CPU of all replicas, cores"
    drawing = scatter(
        f"{name} against {against}",
        Axis(title=against, values=[mark.x for mark in marks], whole=by_load and not study.has_rates),
        Axis(title=name, values=[*(mark.y for mark in marks), *([limit_ms] if limit_ms else [])]),
        marks,
        limit=limit_ms or None,
    )
    more = [_RING] if any(mark.is_answer for mark in marks) else []
    more += [(LIMIT, f"the limit, {limit_ms:,.10g} ms")] if limit_ms else []
    return figure(
        "latency", f"{name} against {against}", "ms", drawing, legend([mark.state for mark in marks], more=more)
    )


def _judged_latency(study: StudyRecord) -> tuple[str, float | None]:
    """The latency that an objective limits and trials have, with its limit in ms; p95 without one."""
    for objective in parse_objectives(study.objectives):
        field = f"{objective.metric}_ms"
        if objective.is_latency and objective.name is None and field in _LATENCIES and objective.operator[0] == "<":
            return field, objective.limit
    return _LATENCIES[0], None


def _is_answered(study: StudyRecord, trial: TrialRecord) -> bool:
    answer = study.answer
    if answer is None or isinstance(answer, SettingAnswerRecord):
        return answer is not None and trial.setting is not None and trial.setting == answer.setting
    return trial.load == answer.highest


def _told(number: int, trial: TrialRecord) -> str:
    what = str(trial.load if trial.setting is None else trial.setting)
    p95 = "" if trial.p95_ms is None else f", p95 {trial.p95_ms:,.1f} ms"
    return f"trial {number}: {what}: {trial.outcome}{p95}"
