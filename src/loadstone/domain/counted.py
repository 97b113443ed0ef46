"""What is counted beside samples: Locust's own totals, unreported requests, lone errors and exceptions of tasks.

Locust and the archive count the same events. Where they differ for no known reason, some load was not recorded or was
recorded twice, and then no figure of the run can be trusted.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from loadstone.domain.objective import EXCEPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts
    from loadstone.domain.objective import Objective

__all__ = ["difference_from_locust", "notices_of_counts", "times"]


def difference_from_locust(facts: RunFacts) -> str:
    """Which totals of Locust differ from the archive's for no known reason; empty if none does.

    Known reasons are samples that were dropped or are unknown, errors that were logged without a request, and what
    makes Locust count less: statistics that were set to zero during the run, workers that died, because workers report
    to Locust's master less often than they send batches, and exceptions that have no text.
    """
    locust = facts.locust
    if locust is None:
        return ""
    missing = facts.ledger.dropped + facts.ledger.unknown
    totals = (
        ("requests", locust.requests, facts.ledger.stored - facts.lone_errors, missing),
        ("failures", locust.failures, facts.failures, missing),
        (EXCEPTIONS, locust.exceptions, facts.exceptions_of_run, inf if facts.ledger.unknown else 0),
    )
    less = locust.reset or bool(facts.lost_workers) or facts.ledger.unknown > 0
    differing = [
        f"{theirs} {what} where the archive holds {ours}"
        for what, theirs, ours, missing in totals
        if theirs is not None and (theirs > ours + missing or (theirs < ours and not less and what != EXCEPTIONS))
    ]
    return f"Locust counted {' and '.join(differing)}" if differing else ""


def notices_of_counts(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """What readers should know about events that no sample shows."""
    if facts.unreported:
        yield (
            f"{times(facts.unreported, 'request was', 'requests were')} sent but reported to nobody, for example "
            "because an exception left the catch_response block; the server saw more than Locust counted"
        )
    if facts.lone_errors:
        yield (
            f"{times(facts.lone_errors, 'error was', 'errors were')} logged without a request of the same name; "
            "Locust counts only failures for them, here they are failed requests without a response time"
        )
    judged = any(objective.metric == EXCEPTIONS for objective in objectives)
    outside = facts.exceptions_of_run - facts.exceptions
    if facts.exceptions_of_run and not judged:
        raised = times(facts.exceptions_of_run, "exception was", "exceptions were")
        yield f"{raised} raised by tasks, {facts.exceptions} of them in the window; no objective limits exceptions"
    elif outside > 0:
        yield f"{times(outside, 'exception was', 'exceptions were')} raised by tasks outside the window"


def times(count: int, one: str, many: str) -> str:
    """A count with its noun, such as ``2 requests``."""
    return f"{count} {one if count == 1 else many}"
