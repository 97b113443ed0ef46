"""Whether the clocks that date requests, the window and everything else agree.

Every figure about requests is dated by the clock of its worker, the window by the master's. All of them are compared
with the stream server's: a worker that is off would put other requests into the window than those that ended in it, and
one error that all of them share would date the whole run wrongly against the usage of the target.

The Date of the target's answers is a second witness. Where the stream server runs on a worker's own machine, it has the
same clock and proves nothing, so the target's word is a doubt then; where it runs elsewhere and agrees with the
worker, the target is the one that is off, which changes no figure and is a notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.doubt import Doubt, any_request, workers_text
from loadstone.domain.objective import number_text
from loadstone.domain.time import MS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts, WorkerFacts

__all__ = ["MAX_CLOCK_SPREAD_MS", "MAX_TARGET_OFFSET_MS", "clock_notices", "doubts_of_the_clocks"]

MAX_CLOCK_SPREAD_MS: Final = 100.0
"""How far two clocks of the platform may be apart (design.md, "The contracts")."""
MAX_TARGET_OFFSET_MS: Final = 2000.0
"""How far at least a clock may be from the target's: Dates are whole seconds, and servers keep each for a while."""


def doubts_of_the_clocks(facts: RunFacts) -> Iterator[Doubt]:
    """The doubts by the rules at the top of this module."""
    limit = f"at most {number_text(MAX_CLOCK_SPREAD_MS)} ms are allowed"
    offsets = {w.worker: w.clock_offset_ms for w in facts.workers if w.clock_offset_ms is not None}
    if offsets and (spread := max(offsets.values()) - min(offsets.values())) > MAX_CLOCK_SPREAD_MS:
        yield Doubt(f"the clocks of the workers differ by {number_text(spread)} ms; {limit}", any_request)
    off = {worker: offset for worker, offset in offsets.items() if abs(offset) > MAX_CLOCK_SPREAD_MS}
    if off:
        whose = f"the clock of {workers_text(list(off))}"
        yield Doubt(f"{whose} is {_off(max(off.values(), key=abs))} the stream server's; {limit}", any_request)
    master = facts.master_offset_ms
    if master is not None and abs(master) > MAX_CLOCK_SPREAD_MS:
        yield Doubt(f"the master's clock, which dates the window, is {_off(master)} the stream server's; {limit}",
                    any_request)  # fmt: skip
    alone = [worker for worker in _off_the_target(facts) if not _vouched_for(worker)]
    if alone:
        yield Doubt(_target_text(alone), any_request)


def clock_notices(facts: RunFacts) -> Iterator[str]:
    """What people should know about the target's clock although no figure depends on it."""
    vouched_for = [worker for worker in _off_the_target(facts) if _vouched_for(worker)]
    if vouched_for:
        yield f"{_target_text(vouched_for)}; the stream server agrees with the workers"


def _off_the_target(facts: RunFacts) -> list[WorkerFacts]:
    return [worker for worker in facts.workers if abs(worker.target_offset_ms or 0.0) > MAX_TARGET_OFFSET_MS]


def _vouched_for(worker: WorkerFacts) -> bool:
    offset = worker.clock_offset_ms
    return not worker.own_stream and offset is not None and abs(offset) <= MAX_CLOCK_SPREAD_MS


def _target_text(workers: Sequence[WorkerFacts]) -> str:
    least_ms = min((worker.target_offset_ms or 0.0 for worker in workers), key=abs)
    whose = f"the clock of {workers_text([worker.worker for worker in workers])}"
    return f"{whose} is at least {_off(least_ms)} the target's, by the Date of its answers"


def _off(offset_ms: float) -> str:
    size = abs(offset_ms)
    text = f"{number_text(size)} ms" if size < MS_PER_S else f"{number_text(size / MS_PER_S)} s"
    return f"{text} {'ahead of' if offset_ms > 0 else 'behind'}"
