"""What a target that stops answering, and a run that was cut short, do to a verdict: doubts and notices.

A target that pauses is asked less than was wanted, so what its users measured says too little. That never excuses a
missed objective: the pause is the target's own. A run that was too short, or had too few users, got less load; one that
had too many users says nothing about those that were asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.domain.doubt import Doubt, about, any_objective, depends_on_workers, workers_text
from loadstone.domain.objective import number_text
from loadstone.domain.pause import longest_s, total_s
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.ending import WrongUsers
    from loadstone.domain.facts import RunFacts
    from loadstone.domain.objective import Objective, ObjectiveResult
    from loadstone.domain.pause import Pause

__all__ = ["pause_sentence", "target_doubts", "target_notices"]

_SHOWN = 3
_NEARLY_ALL = 0.9
_PHRASES = {
    "run time": " at the end of its run time",
    "steady state": " at the end of its steady state",
    "interrupt": " by an interrupt",
}
_TWICE = "the scenario started them, or a worker that Locust took for lost went on while others had its users too"
_WRONG_USERS_SHARE = 0.01
_WRONG_USERS_S = 2.0


def target_doubts(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[Doubt]:
    """Each doubt with the objectives whose result it could have changed."""
    in_flight = facts.target.in_flight
    if not facts.total.n and in_flight.names:
        yield about(f"the target answered none of the {in_flight.total.n} requests that it got in the window", ())
    for pause in _doubtful(facts):
        yield about(_pause_text(pause, facts), ())
    undecided = [
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if objective.metric == "failures" and in_flight.undecided and result.ok and not _holds_anyway(objective, facts)
    ]
    if undecided:
        could = f"{in_flight.undecided} requests, cut off when the stop timeout was over, could change the result of"
        cure = "a longer --stop-timeout lets them finish"
        yield about(f"{could} {', '.join(undecided)}: {cure}", undecided)
    yield from _doubts_about_the_load(facts)


def _doubts_about_the_load(facts: RunFacts) -> Iterator[Doubt]:
    ending = facts.ending
    if ending.is_cut_short and not facts.interrupted:
        by = f" ({ending.ended_by})" if ending.ended_by else ""
        yield Doubt(f"the run was cut short{by}: {_lengths(facts)}", depends_on_workers)
    if facts.orphaned:
        yield Doubt(f"{workers_text(facts.orphaned)} lost the master and left", depends_on_workers)
    if text := _wrong_users(facts.shortfall, facts):
        yield Doubt(f"fewer users ran than were wanted for {text}", depends_on_workers)
    if text := _wrong_users(facts.surplus, facts):
        yield Doubt(f"more users ran than were wanted for {text}: {_TWICE}", any_objective)


def _wrong_users(wrong: WrongUsers, facts: RunFacts) -> str:
    """For how long, if that matters, and the worst moment; empty otherwise."""
    if wrong.seconds <= max(_WRONG_USERS_S, _WRONG_USERS_SHARE * facts.window.seconds):
        return ""
    share = f"{number_text(wrong.seconds)} s of the window's {number_text(facts.window.seconds)} s"
    return f"{share} (at the worst {wrong.users} of {wrong.wanted})"


def target_notices(facts: RunFacts) -> Iterator[str]:
    """What else a reader should know."""
    in_flight, ending = facts.target.in_flight, facts.ending
    if ending.is_early and not facts.interrupted:
        yield f"the run was ended early{_by(ending.ended_by)}: {_lengths(facts)}"
    if in_flight.cut:
        yield (
            f"{in_flight.cut} requests in flight were cut off; they count as at least as slow as they were then, and "
            f"{in_flight.failed} count as failures"
        )
    if in_flight.stuck:
        yield f"{in_flight.stuck} users were cut off inside a task, waiting for something that is not known"
    if text := pause_sentence(longest_s(facts.target.silences), total_s(facts.target.silences)):
        yield text


def pause_sentence(longest: float, total: float) -> str:
    """For how long the target answered nobody while users waited, in seconds; empty if it never did for long."""
    if not total:
        return ""
    return (
        f"closed model: for {number_text(total)} s of the window, {number_text(longest)} s at a stretch, nobody was "
        "answered while users waited; they sent nothing else in that time, so percentiles show too few slow requests"
    )


def _by(ended_by: str | None) -> str:
    return _PHRASES.get(ended_by, f" by the {ended_by}") if ended_by else ""


def _lengths(facts: RunFacts) -> str:
    ending = facts.ending
    what = "of the window" if ending.measure == "window" else "of the run"
    return f"asked for {number_text(ending.asked_s or 0)} s {what}, got {number_text(ending.got_s)} s"


def _doubtful(facts: RunFacts) -> list[Pause]:
    """The doubtful lulls that are more than one silence, and the doubtful silences outside of them, by time."""
    silences = [pause for pause in facts.target.silences if pause.is_doubtful]
    lulls = [lull for lull in facts.target.lulls if lull.is_doubtful and not _is_one_silence(lull, silences)]
    others = [pause for pause in silences if not any(_is_within(pause, lull) for lull in lulls)]
    return sorted([*lulls, *others], key=lambda pause: pause.seconds, reverse=True)[:_SHOWN]


def _is_one_silence(lull: Pause, silences: Sequence[Pause]) -> bool:
    """Whether a lull is one silence and the moment that the first answers after it took."""
    return any(_is_within(each, lull) and each.seconds >= _NEARLY_ALL * lull.seconds for each in silences)


def _is_within(pause: Pause, lull: Pause) -> bool:
    return lull.start_ns <= pause.start_ns and pause.end_ns <= lull.end_ns


def _pause_text(pause: Pause, facts: RunFacts) -> str:
    start_s, end_s = ((at_ns - facts.window.start_ns) / NS_PER_S for at_ns in (pause.start_ns, pause.end_ns))
    span = f"{number_text(pause.seconds)} s of the window, from {number_text(start_s)} s to {number_text(end_s)} s"
    if pause.still_ns:
        span += f" (without {number_text(pause.still_ns / NS_PER_S)} s in which every worker stood still)"
    if not pause.answered:
        return f"nobody was answered for {span}, while {pause.waiting} requests waited"
    expected = number_text(pause.expected)
    return f"only {pause.answered} answers came in {span}, where about {expected} were to be expected"


def _holds_anyway(objective: Objective, facts: RunFacts) -> bool:
    """Whether an objective on failures would hold too if every request that was cut off undecided had failed."""
    return objective.evaluate(facts.assuming_failed(facts.target.in_flight.undecided)).ok is True
