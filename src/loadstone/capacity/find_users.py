"""Finding the most users: the search for them, conducted by trials.

Users that cannot be measured, because trials of them stay invalid or there is no time, end the search below them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadstone.capacity.evidence import Observation
from loadstone.capacity.study_record import UsersAnswerRecord
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import OutOfReach, OutOfTime, converse
from loadstone.capacity.users import MostUsers

if TYPE_CHECKING:
    from loadstone.capacity.study_record import StudyRecord, UsersQuestion
    from loadstone.capacity.trials import Trials
    from loadstone.capacity.users import AskUsers, UsersAnswer

__all__ = ["find_users"]


def find_users(trials: Trials, question: UsersQuestion) -> StudyRecord:
    """The study with all its trials and its answer. Raises `Interrupted`, after which it can be resumed."""
    search = MostUsers(
        fewest=question.at_least, most=question.at_most, first=question.first, measure_s=trials.study.measure_s
    )
    try:
        known = _proved(*_searched(search, trials))
    except OutOfReach as limit:
        known = _open(_known_below(search, trials), limit)
    return trials.write(answer=known)


def _searched(search: MostUsers, trials: Trials) -> tuple[UsersAnswer, str]:
    """The answer, and what could not be tried to narrow it for want of time; empty where all could."""
    left_out = ""

    def observe(ask: AskUsers) -> Observation | None:
        try:
            trial = trials.valid(TrialPlan(users=ask.users, window_s=ask.window_s, kept_s=ask.kept_s))
        except OutOfTime as limit:
            if not ask.kept_s:
                raise
            nonlocal left_out
            left_out = str(limit)
            return None
        return Observation(margin=trial.margin, margin_se=trial.margin_se)

    return converse(search.steps(), observe), left_out


def _known_below(search: MostUsers, trials: Trials) -> UsersAnswer:
    """The most that held, held for longer if there is time."""
    best = search.best_known()
    if best.holds is None:
        return best
    try:
        answer, _ = _searched(search.below(best.holds), trials)
    except OutOfReach:
        return search.best_known()
    return answer if answer.not_held is not None else best


def _proved(answer: UsersAnswer, left_out: str) -> UsersAnswerRecord:
    known = UsersAnswerRecord(
        holds=answer.holds, not_held=answer.not_held, not_held_undecided=answer.undecided, proved=True
    )
    if answer.holds is None and answer.undecided:
        return replace(known, proved=False, open=f"{answer.not_held:,} users are too near the limit to tell")
    return replace(known, open=left_out) if answer.is_wide else known


def _open(best: UsersAnswer, limit: OutOfReach) -> UsersAnswerRecord:
    return UsersAnswerRecord(
        holds=best.holds, not_held=best.not_held, not_held_undecided=best.undecided, proved=False, open=str(limit)
    )
