"""What users got from the target in the window beside answers, computed from what the second pass gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.archive.finalize.in_flight import in_flight_of
from loadstone.archive.finalize.pauses import UserSeconds, pauses_of
from loadstone.domain.facts import TargetFacts
from loadstone.domain.standstill import standstills, without_standstills

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.archive.finalize.second_pass import SecondPass
    from loadstone.domain.facts import WorkerFacts
    from loadstone.domain.omission import Omission

__all__ = ["target_facts"]

_MEDIAN = 50.0


def target_facts(second: SecondPass, workers: Sequence[WorkerFacts]) -> TargetFacts:
    """Requests in flight, silences, lulls and omission of the window, in which its ``workers`` may have stood still."""
    found, window = second.first_pass, second.first_pass.window
    stuck = sum(incarnation.ledger.stuck for incarnation in found.state.incarnations.values())
    totals = second.seconds.window_totals
    users, usual_us = (
        UserSeconds(found.users),
        {name: rollup.by_service.percentile_us(_MEDIAN) for name, rollup in totals.items()},
    )
    answered = sum(rollup.n for rollup in totals.values())
    still = standstills(workers)
    silences, lulls = (
        tuple(without_standstills(pauses_of(waiting, usual_us, window, users, answered, found.stuck), still))
        for waiting in (second.silences, second.lulls)
    )
    in_flight, quicker = (
        in_flight_of(
            second.in_flight,
            second.by_name(later),
            second.by_name(totals),
            found.state.lifecycle.identity.stop_timeout_s or 0.0,
            stuck,
        )
        for later in (second.in_flight.later, second.in_flight.quicker)
    )
    return TargetFacts(
        in_flight=in_flight,
        undisturbed=quicker,
        silences=silences,
        lulls=lulls,
        omission=_omission(second, users, workers),
    )


def _omission(second: SecondPass, users: UserSeconds, workers: Sequence[WorkerFacts]) -> Omission | None:
    if second.first_pass.open_model or not second.first_pass.window.opened:
        return None
    second.starts.take_cut(second.in_flight.cut)
    return second.starts.omission(users, (stall for worker in workers for stall in worker.stalls))
