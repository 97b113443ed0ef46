"""Standstills: when every worker stood still at once, so that nobody could notice an answer of the target."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from loadstone.domain.limits import LAST_NS
from loadstone.domain.pause import SHORTEST_PAUSE_S
from loadstone.domain.stall import Span, common_spans, spans_of, without_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadstone.domain.facts import WorkerFacts
    from loadstone.domain.pause import Pause

__all__ = ["standstills", "without_standstills"]


def standstills(workers: Sequence[WorkerFacts]) -> list[Span]:
    """When every worker stood still at once, but for those that had sent their last batch before."""
    stood_still = without_overlaps(span for worker in workers for span in spans_of(worker.stalls))
    return reduce(common_spans, (_away(worker) for worker in workers), stood_still)


def _away(worker: WorkerFacts) -> list[Span]:
    """When a worker could not notice an answer, before its last batch or after it."""
    spans = spans_of(worker.stalls)
    if worker.last_sent_ns is None:
        return spans
    return without_overlaps([*spans, Span(worker.last_sent_ns, LAST_NS)])


def without_standstills(pauses: Iterable[Pause], spans: Sequence[Span]) -> Iterator[Pause]:
    """The pauses less the time in which answers could not be noticed; those of which too little is left are no more."""
    for pause in pauses:
        length_ns = pause.end_ns - pause.start_ns
        common = common_spans([Span(pause.start_ns, pause.end_ns)], spans)
        if not common:
            yield pause
            continue
        still_ns = sum(span.length_ns for span in common)
        left = replace(pause, still_ns=still_ns, expected=pause.expected * (1 - still_ns / length_ns))
        if left.seconds >= SHORTEST_PAUSE_S:
            yield left
