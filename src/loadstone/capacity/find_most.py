"""Finding the most load, users or arrivals a second: the search for it, conducted by trials.

A load that cannot be measured, because trials of it stay invalid or there is no time, ends the search. The most that
held until then is held for longer, if there is time, so that it is proved all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.capacity.evidence import Observation
from loadstone.capacity.levels import RATES, USERS
from loadstone.capacity.load import Load
from loadstone.capacity.most import Most
from loadstone.capacity.study_record import RateAnswerRecord, RateQuestion, UsersAnswerRecord
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import OutOfReach, converse

if TYPE_CHECKING:
    from loadstone.capacity.most import AskLevel, MostAnswer
    from loadstone.capacity.study_record import MostAnswerRecord, MostQuestion, StudyRecord
    from loadstone.capacity.trials import Trials

__all__ = ["find_most", "search_for"]


def find_most(trials: Trials, question: MostQuestion) -> StudyRecord:
    """The study with all its trials and its answer. Raises `Interrupted`, after which it can be resumed."""
    search = search_for(question, trials.study.measure_s)
    try:
        known = _complete(_searched(search, trials), search)
    except OutOfReach as limit:
        known = _partial(_known_below(search, trials), search, limit)
    return trials.write(answer=known)


def search_for(question: MostQuestion, measure_s: float) -> Most:
    """The search that answers a question; an ordinary trial measures for so long."""
    return Most(
        least=question.at_least,
        most=question.at_most,
        first=question.first,
        levels=RATES if isinstance(question, RateQuestion) else USERS,
        measure_s=measure_s,
    )


def _searched(search: Most, trials: Trials) -> MostAnswer:
    plan = _plan_of_rate if search.levels is RATES else _plan_of_users

    def observe(ask: AskLevel) -> Observation:
        trial = trials.valid(plan(ask))
        return Observation(margin=trial.margin, margin_se=trial.margin_se)

    return converse(search.steps(), observe)


def _plan_of_users(ask: AskLevel) -> TrialPlan:
    return TrialPlan(users=int(ask.level), window_s=ask.window_s, then=tuple(map(_plan_of_users, ask.then)))


def _plan_of_rate(ask: AskLevel) -> TrialPlan:
    return TrialPlan(rate=ask.level, window_s=ask.window_s, then=tuple(map(_plan_of_rate, ask.then)))


def _known_below(search: Most, trials: Trials) -> MostAnswer:
    """The most that held, held for longer if there is time."""
    best = search.best_known()
    if best.holds is None:
        return best
    try:
        answer = _searched(search.below(best.holds), trials)
    except OutOfReach:
        return search.best_known()
    return answer if answer.not_held is not None else best


def _complete(answer: MostAnswer, search: Most) -> MostAnswerRecord:
    if answer.holds is None and answer.undecided and answer.not_held is not None:
        nearest = Load(answer.not_held, is_rate=search.levels is RATES)
        verb = "is" if nearest.amount == 1 else "are"
        return _record(answer, search, proved=False, open_=f"{nearest} {verb} too near the limit to tell")
    return _record(answer, search, proved=True)


def _partial(answer: MostAnswer, search: Most, limit: OutOfReach) -> MostAnswerRecord:
    """Both ends may be proved, although there is more to try between them."""
    proved = search.is_proved(answer.holds) and answer.not_held is not None
    return _record(answer, search, proved=proved, open_=str(limit))


def _record(answer: MostAnswer, search: Most, *, proved: bool, open_: str = "") -> MostAnswerRecord:
    if search.levels is RATES:
        return RateAnswerRecord(
            holds=answer.holds,
            not_held=answer.not_held,
            not_held_undecided=answer.undecided,
            proved=proved,
            open=open_,
        )
    return UsersAnswerRecord(
        holds=None if answer.holds is None else int(answer.holds),
        not_held=None if answer.not_held is None else int(answer.not_held),
        not_held_undecided=answer.undecided,
        proved=proved,
        open=open_,
    )
