"""The trials of a study: each an ordinary run, on this machine or in the stack, under the limits that a rig gives."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import structs

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.calibration import calibrated, calibration_text, cores_used
from loadstone.capacity.grid import grid_of
from loadstone.capacity.identity import differences, identity_of, identity_of_run
from loadstone.capacity.phrases import counted
from loadstone.capacity.study_record import SettingQuestion, TrialRecord
from loadstone.capacity.trial import TrialPlan, record_of
from loadstone.capacity.trials import Interrupted
from loadstone.cli.run import telling_what_is_kept
from loadstone.cli.study_load import with_rate
from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.launch.local import LocalStack
from loadstone.launch.supervisor import RunSupervisor
from loadstone.launch.targets import check_targets
from loadstone.report.live_view import QuietView, open_view
from loadstone.rig.rig import BrokeAtStart, StartFailedError, memory_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.archive.folder import RunFolder
    from loadstone.capacity.study_record import CalibrationRecord, StudyRecord
    from loadstone.capacity.trials import Trials
    from loadstone.cli.common import StopFlag
    from loadstone.launch.scenario import Scenario
    from loadstone.rig.rig import Applied, Rig
    from loadstone.settings import CapacitySettings

__all__ = ["Laboratory", "LocalRuns", "Runs", "StackRuns", "calibration_takes_s", "overhead_s", "used_s"]

_FAILURES_ARE_JUDGED: Final = ("--exit-code-on-error", "0")
"""Objectives judge failures; those of the ramp, which Locust's exit code would stand for, have no part in a study."""
_RAMP_S: Final = 10.0
"""How long a ramp takes, with a spawn rate above the one that is given where that is needed."""
_MOST_SPAWNED: Final = 200.0
"""Users per second: above that a ramp takes longer, as masters have lost busy workers at higher rates."""
_START_AND_END_S: Final = 10.0
_CALIBRATES_FOR_S: Final = 20.0
_NOT_CALIBRATED: Final = (
    "the load generator is not measured by itself here, as it is in the stack; the first trial shows what CPU it needs"
)
_NEW_LIMITS_S: Final = 20.0
"""What a trial takes beside its ramp and window, until one has shown it."""


class Runs(Protocol):
    """Where the runs of a study take place. ``static_host``: what answers there at no cost, if anything does."""

    static_host: str | None

    def await_idle(self, settings: CapacitySettings) -> None:
        """Wait for the end of a run that a study left there when it was killed."""

    def __call__(self, settings: CapacitySettings, applied: Applied | None) -> RunFolder | None:
        """One run; None when it was interrupted."""


class LocalRuns:
    """Runs on this machine, each with everything started for it.

    A target that ``starts_later`` is looked for before the first of them; `UsageError` where it cannot be reached.
    """

    static_host: str | None = None

    def __init__(self, scenario: Scenario, stop: StopFlag, *, starts_later: bool = False) -> None:
        self._stop = stop
        self._is_to_be_checked = starts_later
        self._scenario = replace(scenario, arguments=(*_FAILURES_ARE_JUDGED, *scenario.arguments))

    def await_idle(self, settings: CapacitySettings) -> None:
        """Nothing is left: the processes of a run here end with the one that started them."""

    def __call__(self, settings: CapacitySettings, applied: Applied | None) -> RunFolder | None:
        """See `Runs`."""
        under: dict[str, Any] = {}
        if applied is not None:
            settings = replace(
                settings, target_pid=applied.pids or settings.target_pid, host=applied.host or settings.host
            )
            under = {"limits": _limits(applied), "identity": applied.identity}
            under |= {"target_limits": applied.start, "watched": applied.watched}
        if self._is_to_be_checked:
            check_targets(settings, self._scenario)
            self._is_to_be_checked = False
        with (
            telling_what_is_kept(LocalStack(settings, self._scenario, **under)) as stack,
            open_view(plain=settings.plain, otherwise=QuietView) as view,
        ):
            stack.start(self._stop)
            return None if self._stop() else RunSupervisor(stack, view, lambda: self._stop.count).conduct()


class StackRuns:
    """Runs in the compose stack that is up."""

    static_host: str | None = "http://balancer:8001"

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop

    def await_idle(self, settings: CapacitySettings) -> None:
        """See `Runs`."""
        from loadstone.compose.remote import StackRun  # noqa: PLC0415  (importing its HTTP client takes 0.2 s)

        with QuietView() as view:
            StackRun(settings, view, lambda: self._stop.count).await_idle()

    def __call__(self, settings: CapacitySettings, applied: Applied | None) -> RunFolder | None:
        """See `Runs`."""
        from loadstone.compose.remote import StackRun  # noqa: PLC0415  (as above)

        known: dict[str, Any] = {"exit_code_on_error": 0}  # see _FAILURES_ARE_JUDGED
        if applied is not None:
            known |= {"limits": _limits(applied), "target": dict(applied.identity)}
        with QuietView() as view:
            return StackRun(settings, view, lambda: self._stop.count, **known).drive()


class Laboratory:
    """Where trials are made: limits are given, and a run is made and judged."""

    def __init__(
        self, settings: CapacitySettings, runs: Runs, rig: Rig | None, stop: StopFlag, study: StudyRecord
    ) -> None:
        self.rig = rig
        self._settings, self._runs, self._stop = settings, runs, stop
        self._is_calibrated = False
        self._made: Trials | None = None
        self._is_same = False
        self._begun_s = time.monotonic() - used_s(study, settings)
        self._beside_window_s = overhead_s(settings, with_rig=rig is not None)

    @property
    def spent_s(self) -> float:
        """How long the study has taken until now, earlier sessions included."""
        return time.monotonic() - self._begun_s

    def why_not(self, plan: TrialPlan, made: int) -> str:
        """Why no further trial may begin; empty as long as one may."""
        settings = self._settings
        windows_s = (plan.window_s, *(each.window_s for each in plan.then))
        if settings.trials is not None and made + len(windows_s) > settings.trials:
            return f"the limit of {counted(settings.trials, 'trial')} was reached"
        ends_s = self.spent_s + sum(self._beside_window_s + window_s for window_s in windows_s)
        if settings.budget is not None and ends_s > settings.budget:
            return "there was no time left in the budget"
        return ""

    def prepare(self, made: Trials, note: Callable[[str], object], *, resumed: bool) -> None:
        """What comes before the first trial: whether it makes sense here, and what is to be put back afterwards.

        Raises `Interrupted`, and `UsageError` where it makes no sense.
        """
        self._made = made
        question = made.study.question
        if resumed:
            self._runs.await_idle(self._settings)
            self._go_on()
        if self.rig is None or not isinstance(question, SettingQuestion):
            return
        extremes = grid_of(question).extremes()
        self.rig.check_fits(extremes, 0.0)
        if made.study.before is not None:  # it was killed
            note(self.rig.restore(made.study.before))
            made.write(before=None)
        self._go_on()
        if (host := self._runs.static_host) is None:
            note(_NOT_CALIBRATED)
        else:
            found = made.study.calibration
            if found is None:
                found = self._calibrate(question, host)
                note(calibration_text(found))
                made.write(calibration=found)
            self.rig.check_fits(extremes, found.cores)
            self._is_calibrated = True
        self.rig.check_quiet(self._stop)
        self._go_on()
        made.write(before=dict(self.rig.before()))

    def _go_on(self) -> None:
        """Raise `Interrupted` when the user asked to stop."""
        if self._stop():
            raise Interrupted

    def _calibrate(self, question: SettingQuestion, host: str) -> CalibrationRecord:
        plan = TrialPlan(users=question.users, rate=question.rate, window_s=_calibration_window_s(self._settings))
        # Those on latency alone: they also say by how much the generator may lag.
        objectives = tuple(each.text for each in parse_objectives(self._settings.objective) if each.is_latency)
        settings = replace(self._of(plan), host=host, objective=objectives)
        return calibrated(self._closed(self._runs(settings, None)), plan.load)

    def run(self, plan: TrialPlan) -> TrialRecord:
        """One trial.

        Raises `Interrupted` when the user asked to stop, and `UsageError` for limits that had no room beside the
        generator; in the first one after a study was resumed also if the target is not that of its other trials.
        """
        begun_s = time.monotonic()
        try:
            applied = self.rig.apply(plan.setting, self._stop) if self.rig and plan.setting else None
            self._go_on()
            if applied and not self._is_same:
                self._differences(identity_of(applied.identity))
            self._refuse_unreported(applied)
            run = self._closed(self._runs(self._of(plan), applied))
        except (BrokeAtStart, StartFailedError) as failed:
            if self._stop():
                raise Interrupted from failed
            return _not_started(plan, failed)
        self._beside_window_s = time.monotonic() - begun_s - plan.window_s
        if self.rig and plan.setting and not self._is_calibrated:
            self.rig.check_fits([plan.setting], cores_used(run))
        trial = record_of(run, plan, self.rig.service if self.rig and applied else None, applied)
        return self._of_same_target(trial, identity_of_run(run.record))

    def _of_same_target(self, trial: TrialRecord, found: dict[str, str]) -> TrialRecord:
        """The trial, which is invalid if it was of another target than the others."""
        if other := self._differences(found):
            why = f"the target was another one: {other}"
            return structs.replace(trial, outcome="invalid", reasons=(why,), margin=None, broke=False, bottleneck=None)
        self._is_same = True
        is_valid = trial.outcome != "invalid"
        if is_valid and self._made is not None and (study := self._made.study).identity.keys() < found.keys():
            self._made.write(identity={**found, **study.identity})
        return trial

    def _differences(self, found: dict[str, str]) -> str:
        """What is other than in the study's other trials. Raises `UsageError` as long as no trial was like them."""
        if self._made is None:
            return ""
        study = self._made.study
        other = differences(study.identity, found)
        if other and not self._is_same:
            raise UsageError(
                f"the trials of study {study.id} were of another target: {other}",
                hint="Give back what it was, or begin a new study",
            )
        return other

    def _refuse_unreported(self, applied: Applied | None) -> None:
        """Raise `UsageError` for an objective on usage that a command could have had recorded, and does not."""
        judged = next((each for each in parse_objectives(self._settings.objective) if each.is_usage), None)
        has_none = applied is not None and not (applied.pids or applied.watched or applied.start)
        if judged is not None and has_none and not (self._settings.target_pid or self._settings.stack):
            raise UsageError(
                f"the objective {judged.text} needs CPU and memory of {judged.service}, and --apply reports no process"
                " of it on this machine",
                hint="Let it report pids, or leave the objective out",
            )

    def _closed(self, folder: RunFolder | None) -> ClosedRun:
        if folder is None or self._stop():
            raise Interrupted
        return ClosedRun.open(folder)

    def _of(self, plan: TrialPlan) -> CapacitySettings:
        settings = replace(self._settings, steady_state=plan.window_s)
        load = plan.load
        if load.is_rate:
            return with_rate(settings, load.amount)
        spawn_rate = max(settings.spawn_rate, min(load.amount / _RAMP_S, _MOST_SPAWNED))
        return replace(settings, users=int(load.amount), spawn_rate=spawn_rate)


def used_s(study: StudyRecord, settings: CapacitySettings) -> float:
    """About how long a study took in its earlier sessions: what was measured, and what that usually takes beside it."""
    beside_s = overhead_s(settings, with_rig=study.asks_setting)
    calibration_s = calibration_takes_s(settings) if study.calibration is not None else 0.0
    return calibration_s + sum(trial.window_s + beside_s for trial in study.trials)


def calibration_takes_s(settings: CapacitySettings) -> float:
    """About how long it takes to measure the generator, which is done before limits are tried in the stack."""
    return _calibration_window_s(settings) + overhead_s(settings, with_rig=True) - _NEW_LIMITS_S


def _calibration_window_s(settings: CapacitySettings) -> float:
    return min(settings.measure or _CALIBRATES_FOR_S, _CALIBRATES_FOR_S)


def overhead_s(settings: CapacitySettings, *, with_rig: bool) -> float:
    """What a trial takes beside its window, until one has shown it."""
    ramp_s = max(_RAMP_S, settings.users / _MOST_SPAWNED) if with_rig else _RAMP_S
    return ramp_s + settings.warmup + _START_AND_END_S + (_NEW_LIMITS_S if with_rig else 0.0)


def _limits(applied: Applied) -> dict[str, object]:
    """The limits as they stand in run.json, in the form of the compose stack's own."""
    setting = applied.setting
    held = {"cpu_cores": setting.cpu_cores, "memory": memory_text(setting.mem_bytes), "replicas": setting.replicas}
    return {"target": {**held, "read_back": applied.read_back}}


def _not_started(plan: TrialPlan, failed: BrokeAtStart | StartFailedError) -> TrialRecord:
    """A trial without a run: its limits are too small, or nobody knows and it is invalid."""
    broke = isinstance(failed, BrokeAtStart)
    return TrialRecord(
        users=plan.users,
        rate=plan.rate,
        window_s=0.0,
        run="",
        outcome="does not hold" if broke else "invalid",
        reasons=(str(failed),),
        broke=broke,
        setting=plan.setting,
    )
