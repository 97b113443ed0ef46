"""The trial that stands for all those of a setting, or of a load, wherever a study says why it failed."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadstone.capacity.load import Load
    from loadstone.capacity.study_record import BottleneckRecord, StudyRecord, TrialRecord
    from loadstone.rig.rig import Setting

__all__ = ["OUTCOMES", "nearest_objective", "telling_trial", "tried", "valid_trials", "why_text"]

OUTCOMES: Final[Mapping[str, str]] = {
    "holds": "holds",
    "fails": "does not hold",
    "breaks": "does not hold",
    "undecided": "undecided",
    "invalid": "invalid",
}
"""What was found of a setting or a load, as an outcome."""
_FAILS: Final = "does not hold"
_INVALID: Final = "invalid"
_UNKNOWN: Final = "unknown"


def tried(study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None) -> Sequence[TrialRecord]:
    """The trials of a setting, or of a load, in their order."""
    return [
        trial
        for trial in study.trials
        if (setting is None or trial.setting == setting) and (load is None or trial.load == load)
    ]


def valid_trials(
    study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None
) -> Sequence[TrialRecord]:
    """Those of them that say something about the target."""
    return [trial for trial in tried(study, setting=setting, load=load) if trial.outcome != _INVALID]


def nearest_objective(trials: Iterable[TrialRecord]) -> str:
    """The objective that was nearest to its limit in most of them; empty where none was measured."""
    nearest = Counter(trial.objective for trial in trials if trial.objective)
    return nearest.most_common(1)[0][0] if nearest else ""


def telling_trial(
    study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None
) -> TrialRecord | None:
    """The middle one, by its margin, of the trials that did not hold for the usual cause; None if all of them held.

    Trials in which the target broke come before all others, and a known cause before an unknown one.
    """
    failed = [trial for trial in tried(study, setting=setting, load=load) if trial.outcome == _FAILS]
    failed = [trial for trial in failed if trial.broke] or failed
    known = [each for trial in failed if (each := _known(trial)) is not None]
    if known:
        (cause, _), *_ = Counter(each.cause for each in known).most_common(1)
        failed = [trial for trial in failed if (each := _known(trial)) is not None and each.cause == cause]
    ordered = sorted(failed, key=lambda trial: inf if trial.margin is None else trial.margin)
    return ordered[len(ordered) // 2] if ordered else None


def why_text(study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None) -> str:
    """Why a setting, or a load, did not hold, to follow a sentence; empty where nothing tells."""
    trial = telling_trial(study, setting=setting, load=load)
    if trial is None:
        return ""
    found = _known(trial)
    why = found.evidence if found is not None else " and ".join(trial.reasons)
    return f": {why}" if why else ""


def _known(trial: TrialRecord) -> BottleneckRecord | None:
    return trial.bottleneck if trial.bottleneck is not None and trial.bottleneck.cause != _UNKNOWN else None
