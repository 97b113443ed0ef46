"""Whole studies in simulated worlds, and what their answers are worth against the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from loadstone.capacity.grid import Point
from loadstone.capacity.search import Answer, Ask, Cheapest, Steps

from .worlds import Laboratory, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.capacity.grid import Grid

TOO_DEAR = 1.1


def searched(grid: Grid) -> Steps[Answer]:
    """The search of loadstone."""
    return Cheapest(grid).steps()


def bisected(grid: Grid) -> Steps[Answer]:
    """The rival: for each number of replicas halve CPU, then memory, and believe each trial of a minute."""
    best: Point | None = None
    for replicas in range(len(grid.replicas)):
        if best is not None and grid.cost(Point(0, 0, replicas)) >= grid.cost(best):
            break
        top = Point(grid.top.cpu, grid.top.mem, replicas)
        if not (yield from _held(top)):
            continue
        found = yield from _halved(top, "cpu")
        found = yield from _halved(found, "mem")
        if best is None or grid.cost(found) < grid.cost(best):
            best = found
    return Answer(point=best)


def _held(point: Point) -> Steps[bool]:
    observation = yield Ask(point, 60.0)
    return observation.margin is not None and observation.margin <= 0


def _halved(point: Point, axis: str) -> Steps[Point]:
    low, high = -1, getattr(point, axis)
    while high - low > 1:
        middle = (low + high) // 2
        if (yield from _held(point._replace(**{axis: middle}))):
            high = middle
        else:
            low = middle
    return point._replace(**{axis: high})


def conducted(steps: Steps[Answer], laboratory: Laboratory) -> tuple[Answer, list[Point]]:
    """The answer of a search in a world, and what it tried."""
    tried: list[Point] = []
    try:
        ask = next(steps)
        while True:
            tried.append(ask.point)
            ask = steps.send(laboratory.observe(ask.point, ask.window_s))
    except StopIteration as end:
        return end.value, tried


@dataclass
class Worth:
    """What the answers of many studies are worth."""

    trials: list[int] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    infeasible: int = 0
    too_large: int = 0
    too_dear: int = 0
    none: int = 0
    claims: int = 0
    true_claims: int = 0

    def count(self, world: World, answer: Answer, laboratory: Laboratory) -> None:
        """Compare one answer with the truth. Too large: two CPU steps less would hold as well."""
        self.trials.append(laboratory.trials)
        self.minutes.append(laboratory.seconds / 60)
        point = answer.point
        if point is None:
            self.none += 1
            return
        holds = bool(world.holds[point])
        self.infeasible += not holds
        self.too_large += holds and point.cpu > 1 and bool(world.holds[point._replace(cpu=point.cpu - 2)])
        self.too_dear += holds and world.grid.cost(point) > TOO_DEAR * world.grid.cost(world.best)
        self.claims += answer.smaller_fails
        one_less_holds = point.cpu > 0 and bool(world.fast[point.cpu - 1, point.replicas])
        self.true_claims += answer.smaller_fails and holds and not one_less_holds

    def row(self, name: str) -> str:
        """One line of the table, in percent of the studies."""
        total = len(self.trials)
        true = f"{self.true_claims / self.claims:6.1%}" if self.claims else "     -"
        return (
            f"{name:28} {median(self.trials):6.0f} {median(self.minutes):7.0f} ({np.quantile(self.minutes, 0.9):.0f})"
            f" {self.infeasible / total:10.1%} {self.too_large / total:9.1%} {self.too_dear / total:8.1%}"
            f" {self.none / total:6.1%} {true}"
        )


HEAD = "method                       trials minutes (p90) infeasible too large too dear   none   true"


def worth(search: Callable[[Grid], Steps[Answer]], worlds: list[World], **noise: float) -> Worth:
    """The worth of a search in these worlds, under the usual noise or another."""
    result = Worth()
    for world in worlds:
        laboratory = Laboratory(world, 1000 * world.seed, **noise)
        answer, _ = conducted(search(world.grid), laboratory)
        result.count(world, answer, laboratory)
    return result
