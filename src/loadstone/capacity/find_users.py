"""Finding the most users: the search for them, conducted by trials.

Users that cannot be measured, because trials of them stay invalid or there is no time, end the search. The most that
held until then are held for longer, if there is time, so that they are proved all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.capacity.evidence import Observation
from loadstone.capacity.study_record import UsersAnswerRecord
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import OutOfReach, converse
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
        known = _complete(_searched(search, trials))
    except OutOfReach as limit:
        known = _partial(_known_below(search, trials), search, limit)
    return trials.write(answer=known)


def _searched(search: MostUsers, trials: Trials) -> UsersAnswer:
    def observe(ask: AskUsers) -> Observation:
        trial = trials.valid(_plan(ask))
        return Observation(margin=trial.margin, margin_se=trial.margin_se)

    return converse(search.steps(), observe)


def _plan(ask: AskUsers) -> TrialPlan:
    return TrialPlan(users=ask.users, window_s=ask.window_s, then=tuple(map(_plan, ask.then)))


def _known_below(search: MostUsers, trials: Trials) -> UsersAnswer:
    """The most that held, held for longer if there is time."""
    best = search.best_known()
    if best.holds is None:
        return best
    try:
        answer = _searched(search.below(best.holds), trials)
    except OutOfReach:
        return search.best_known()
    return answer if answer.not_held is not None else best


def _complete(answer: UsersAnswer) -> UsersAnswerRecord:
    if answer.holds is None and answer.undecided:
        return _record(answer, proved=False, open_=f"{answer.not_held:,} users are too near the limit to tell")
    return _record(answer, proved=True)


def _partial(answer: UsersAnswer, search: MostUsers, limit: OutOfReach) -> UsersAnswerRecord:
    """Both ends may be proved, although there is more to try between them."""
    proved = search.is_proved(answer.holds) and answer.not_held is not None
    return _record(answer, proved=proved, open_=str(limit))


def _record(answer: UsersAnswer, *, proved: bool, open_: str = "") -> UsersAnswerRecord:
    return UsersAnswerRecord(
        holds=answer.holds,
        not_held=answer.not_held,
        not_held_undecided=answer.undecided,
        proved=proved,
        open=open_,
    )
