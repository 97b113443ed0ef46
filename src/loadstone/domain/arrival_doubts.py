"""Whether the load generator of an open model sent what its schedule asked for, when it asked for it.

1. *Late.* The 99th percentile of the lateness is above the limit (`lateness_limit_ms`).
2. *Not sent.* More than 0.1 % of the planned arrivals found no free user.
3. *Lost.* There were fewer arrivals, or more, than a sound run of that rate has (`loadstone.domain.expected_arrivals`),
   as when a worker was killed.
4. *Lateness that matters.* An objective fails, and would hold if every iteration had begun at its intended start.

A target that gets fewer requests, or gets them later, looks better than it is. So 1 to 3 make a run inconclusive that
would pass, and an objective with an upper limit that fails all the same stays failed. One with a lower limit, such as
``rps>=1000``, may have failed because of them. More arrivals than the rate asks for are the other way round. Lateness
is part of a response time, so 4 may be its only cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.doubt import Doubt, about
from loadstone.domain.generator_doubts import tightest_ms
from loadstone.domain.objective import number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import ArrivalFacts, RunFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = ["LATENESS_FLOOR_MS", "arrival_doubts", "lateness_limit_ms"]

LATENESS_FLOOR_MS: Final = 5.0
_LATENESS_SHARE: Final = 0.05
_NOT_SENT_PCT: Final = 0.1


def lateness_limit_ms(objectives: Sequence[Objective]) -> float:
    """How late iterations may begin (p99, ms): 5, or 5 % of the tightest latency objective if that is more."""
    return max(LATENESS_FLOOR_MS, _LATENESS_SHARE * tightest_ms(objectives))


def arrival_doubts(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[Doubt]:
    """The doubts by the rules at the top of this module; none under the closed model."""
    if facts.arrivals is None:
        return
    for reason in (_late(facts.arrivals, lateness_limit_ms(objectives)), _not_sent(facts.arrivals)):
        if reason:
            yield Doubt(reason, _has_a_lower_limit)
    if surplus := _surplus(facts.arrivals):
        yield Doubt(_shares(facts.arrivals), _has_an_upper_limit if surplus > 0 else _has_a_lower_limit)
    lengthened = [
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if result.ok is False and objective.is_latency and _holds_on_time(objective, facts)
    ]
    if lengthened:
        latest = number_text(facts.arrivals.lateness_max_ms or 0.0)
        could_hold = ", ".join(lengthened)
        yield about(f"iterations began up to {latest} ms late: without that, {could_hold} could have held", lengthened)


def _late(arrivals: ArrivalFacts, limit_ms: float) -> str:
    late_ms = arrivals.lateness_p99_ms
    if late_ms is None or late_ms <= limit_ms:
        return ""
    return (
        f"iterations began {number_text(late_ms, limit_ms)} ms late (p99, limit {number_text(limit_ms)} ms): "
        "the load generator did not keep up with its schedule"
    )


def _not_sent(arrivals: ArrivalFacts) -> str:
    missing_pct = 100 * arrivals.not_sent / max(1, arrivals.planned)
    if missing_pct <= _NOT_SENT_PCT:
        return ""
    return (
        f"{arrivals.not_sent:,} of {arrivals.planned:,} planned arrivals were not sent, because every user was busy "
        f"({number_text(missing_pct, _NOT_SENT_PCT)} %, at most {_NOT_SENT_PCT} % may be missing): raise --max-users"
    )


def _surplus(arrivals: ArrivalFacts) -> float:
    """How many arrivals there were more than the rate asks for, negative if fewer; 0 within the tolerance."""
    if arrivals.expected is None:
        return 0.0
    surplus = arrivals.planned - arrivals.expected.arrivals
    return surplus if abs(surplus) > arrivals.expected.tolerance else 0.0


def _shares(arrivals: ArrivalFacts) -> str:
    asked = arrivals.expected.arrivals if arrivals.expected else 0.0
    counts = f"there were {arrivals.planned:,} arrivals, and the rate asks for {asked:,.0f}"
    return f"{counts} ({number_text(100 * arrivals.planned / asked, 100)} % of them)" if asked else counts


def _has_a_lower_limit(objective: Objective) -> bool:
    return not objective.is_usage and objective.operator[0] != "<"


def _has_an_upper_limit(objective: Objective) -> bool:
    return not objective.is_usage and objective.operator[0] != ">"


def _holds_on_time(objective: Objective, facts: RunFacts) -> bool:
    """Whether it holds without lateness; if stalls alone do not explain why it fails, without these as well."""
    if objective.evaluate(facts.on_time).ok is not False:
        return True
    quickest = facts.quickest
    return objective.evaluate(quickest).ok is False and objective.evaluate(quickest.on_time).ok is not False
