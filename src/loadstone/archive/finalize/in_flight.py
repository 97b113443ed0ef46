"""Gathers the requests that were in flight at the end of the window, or cut off in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loadstone.archive.finalize.undisturbed import Best
from loadstone.domain.in_flight import InFlight
from loadstone.domain.request_name import NAME_LIMIT, OTHER, RequestName
from loadstone.domain.rollup import MAX_DURATION_US, Rollup, merged, roll_up
from loadstone.domain.time import NS_PER_US, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.archive.finalize.undisturbed import Undisturbed
    from loadstone.domain.cut import CutRequest
    from loadstone.domain.facts import Window

__all__ = ["InFlightAtEnd", "LaterByName", "in_flight_of"]

LaterByName = dict[int, Rollup]


class InFlightAtEnd:
    """Requests that were sent before the end of the window and ended after it, by name id; ``cut`` ones apart.

    A request that failed after the window counts as failed only if it took at least the stop timeout: then it is the
    window's failure, and not one that the end of the run brought about. ``quicker``: those that ended later, as if no
    worker had ever stood still.
    """

    def __init__(self, window: Window, stop_timeout_s: float, undisturbed: Undisturbed) -> None:
        self.later: LaterByName = {}
        self.quicker: LaterByName = {}
        self.cut: list[CutRequest] = []
        self._window = window
        self._stop_timeout_us = round(stop_timeout_s * US_PER_S)
        self._undisturbed = undisturbed

    def take(self, block: Block) -> None:
        """Take in the samples of a block."""
        end_ns = self._window.end_ns
        start_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
        at = np.flatnonzero((block.end_ns >= end_ns) & (start_ns < end_ns))
        if len(at):
            names = block.name_id[at]
            for to, samples in ((self.later, block), (self.quicker, self._undisturbed.best(block))):
                self._add(to, names, Best(samples.duration_us[at], samples.late_us[at], samples.failed[at]))

    def _add(self, to: LaterByName, names: NDArray[np.int64], samples: Best) -> None:
        failed = samples.failed & (samples.duration_us >= max(1, self._stop_timeout_us))
        zeros = np.zeros(len(names), np.int64)
        for (_, name), rollup in roll_up(zeros, names, samples.duration_us, zeros, failed, samples.late_us).items():
            to.setdefault(name, Rollup()).merge(rollup)

    def take_cut(self, cut: Iterable[CutRequest]) -> None:
        """Take in requests that were cut off."""
        self.cut.extend(
            each for each in cut if each.start_ns < self._window.end_ns and each.cut_ns >= self._window.start_ns
        )


def in_flight_of(
    gathered: InFlightAtEnd,
    later: Mapping[RequestName, Rollup],
    answered: Mapping[RequestName, Rollup],
    stop_timeout_s: float,
    stuck: int,
) -> InFlight:
    """What was gathered, given the same ``later`` by name and the ``answered`` requests of the window."""
    names: dict[RequestName, list[Rollup]] = {name: [rollup] for name, rollup in later.items()}
    patience_us, undecided = stop_timeout_s * US_PER_S, 0
    for each in gathered.cut:
        name = RequestName.cleaned(each.method, each.name)
        if name not in names and len(names) >= NAME_LIMIT:
            name = OTHER
        age_us = min(each.age_us, MAX_DURATION_US)
        gave_up = 0 < patience_us <= age_us
        known = name in answered and age_us <= answered[name].by_service.rt_max_us
        undecided += gave_up and known
        names.setdefault(name, []).append(Rollup.of_one(age_us, 1, failed=int(gave_up and not known)))
    return InFlight(
        names={name: merged(rollups) for name, rollups in names.items()},
        ended_later=sum(rollup.n for rollup in later.values()),
        cut=len(gathered.cut),
        undecided=undecided,
        stuck=stuck,
    )
