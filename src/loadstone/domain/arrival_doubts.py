"""Whether the load generator of an open model sent what its schedule asked for, when it asked for it.

1. *Late.* The 99th percentile of the lateness is above the limit (`lateness_limit_ms`).
2. *Not sent.* More than 0.1 % of the planned arrivals found no free user.
3. *Lateness that matters.* An objective fails, and would hold if every iteration had begun at its intended start.
4. *Lost, or too many.* The planned arrivals are further from what the rate comes to than those of a sound run
   (`loadstone.domain.expected_arrivals`), as when a worker was killed: what it was to begin then, nobody counted.
5. *None.* No arrival was due in the window.

A target that gets fewer requests, or gets them later, looks better than it is. So 1, 2 and lost arrivals make a run
inconclusive that would pass, and an objective with an upper limit that fails all the same stays failed. One with a
lower limit, such as ``rps>=1000``, may have failed because of them. Too many arrivals are the other way round. Lateness
is part of a response time, so 3 may be its only cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.doubt import Doubt, about, any_request
from loadstone.domain.generator_doubts import tightest_ms
from loadstone.domain.objective import number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import ArrivalFacts, RunFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = ["LATENESS_FLOOR_MS", "arrival_doubts", "arrival_notices", "lateness_limit_ms"]

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
    if facts.window.opened:
        yield from _other_load(facts.arrivals)
    lengthened = [
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if result.ok is False and objective.is_latency and _holds_on_time(objective, facts)
    ]
    if lengthened:
        latest = number_text(facts.arrivals.lateness_max_ms or 0.0)
        could_hold = ", ".join(lengthened)
        yield about(f"iterations began up to {latest} ms late: without that, {could_hold} could have held", lengthened)


def arrival_notices(facts: RunFacts) -> Iterator[str]:
    """Arrivals that were not sent, where they are too few to matter."""
    arrivals = facts.arrivals
    if arrivals is not None and arrivals.not_sent and not _not_sent(arrivals):
        share = number_text(100 * arrivals.not_sent / max(1, arrivals.planned))
        yield f"{arrivals.not_sent:,} of {arrivals.planned:,} planned arrivals were not sent ({share} %)"


def _other_load(arrivals: ArrivalFacts) -> Iterator[Doubt]:
    """Whether other arrivals were due than the rate asks for. Those that found no free user were due, too."""
    expected, planned = arrivals.expected, arrivals.planned
    if not planned:
        yield Doubt("no arrival was due in the window", any_request)
    elif expected is not None and abs(planned - expected) > arrivals.tolerance:
        share = f" ({number_text(100 * planned / expected, 100)} %)" if expected else ""
        reason = f"{planned:,} arrivals are accounted for, where the rate asks for {expected:,.0f}{share}"
        yield Doubt(reason, _has_a_lower_limit if planned < expected else _has_an_upper_limit)


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
