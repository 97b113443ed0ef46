"""The laboratory: what becomes of limits that do not hold a start, and room for the generator; its rig is a double."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import Interrupted
from loadstone.cli.common import StopFlag
from loadstone.cli.trials import Laboratory, LocalRuns
from loadstone.errors import PlatformError
from loadstone.rig.rig import Applied, BrokeAtStart, Setting, StartFailedError
from loadstone.settings import CapacitySettings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

MIB = 1024**2
SETTING = Setting(0.5, 256 * MIB, 1)
PLAN = TrialPlan(users=5, window_s=20.0, setting=SETTING)


class RigDouble:
    """Stands for a rig whose target does not start for a reason; it has so many cores."""

    name, service = "a double", "target"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        pass

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        pass

    def before(self) -> Mapping[str, Any]:
        return {}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        raise self.error

    def restore(self, before: Mapping[str, Any]) -> str:
        return "restored"


def laboratory(error: Exception, stop: StopFlag | None = None) -> Laboratory:
    stop = stop or StopFlag()
    settings = load(CapacitySettings, environ={})
    runs = LocalRuns.__new__(LocalRuns)  # no run is made
    return Laboratory(settings, runs, RigDouble(error), stop)


def test_limits_that_break_a_start_are_shown_not_to_hold():
    record = laboratory(BrokeAtStart("the kernel killed it")).run(PLAN)
    assert (record.outcome, record.broke, record.run, record.setting) == ("does not hold", True, "", SETTING)
    assert record.reasons == ("the kernel killed it",)


def test_a_start_that_failed_for_another_reason_is_an_invalid_trial_which_says_what_to_mend():
    record = laboratory(StartFailedError("it ended (exit 1)", hint="Its log says why")).run(PLAN)
    assert (record.outcome, record.broke, record.margin, record.run) == ("invalid", False, None, "")
    assert (record.setting, record.window_s) == (SETTING, 0.0)
    assert record.reasons == ("it ended (exit 1). Its log says why",)


def test_limits_that_cannot_be_given_are_an_error():
    with pytest.raises(PlatformError, match="no cluster"):
        laboratory(PlatformError("no cluster")).run(PLAN)


@pytest.mark.parametrize("error", [BrokeAtStart("it was ended"), StartFailedError("it was ended")])
def test_a_start_that_was_interrupted_says_nothing(error: Exception):
    stop = StopFlag()
    stop.count = 1
    with pytest.raises(Interrupted):
        laboratory(error, stop).run(PLAN)
