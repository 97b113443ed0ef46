"""The search for the cheapest setting that holds, as a conversation: it asks for trials and gets observations.

`cheapest` is a generator that does nothing but think, so a study can be resumed by telling it again, in order, what was
observed before. It works in three steps:

1. The largest setting must hold, or nothing does. Its CPU use, by the utilisation law (use = rate x demand, whatever
   the number of replicas), predicts how many cores each number of replicas needs.
2. For each number of replicas, the most promising first, trials find the smallest CPU step that seems to hold with all
   the memory there is. Memory is predicted from the highest working set, never bisected: too little of it shows late.
3. The cheapest candidate is proved on fresh trials, and so are its smaller neighbours. Whatever the proof contradicts
   is put right, until a candidate holds and neither one CPU step nor one memory step less does.

No setting is answered that was not tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from loadstone.capacity.evidence import Finding, Rules, SettingEvidence, SettingObservation
from loadstone.capacity.grid import Point
from loadstone.capacity.threshold import Threshold

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from loadstone.capacity.grid import Grid

__all__ = ["FIRST_LOOK_S", "MEMORY_HEADROOM", "Answer", "Ask", "Cheapest", "Steps"]

T = TypeVar("T")
FIRST_LOOK_S: Final = 60.0
_REPEATS_FOR: Final = 2.0
"""How long repeats last, as multiples of the first look."""
_USUAL_USE: Final = 0.85
"""Share of its limit that a target can use before its latency rises, until one is measured."""
_MEASURED_USE: Final = (0.3, 0.97)
_SMALL_CORES: Final = 1.3
"""With more cores than this a process with one busy thread leaves some unused, which says nothing about the others."""
MEMORY_HEADROOM: Final = 1.06
_LESS_CPU_IS_HOPELESS: Final = 0.85
"""Fewer cores than this share of what was used at the top cannot be enough."""
_CHEAPER_BY: Final = 0.02
_PASSES_AT_TOP, _FAILS_AT_TOP = 2, 2
"""For the largest setting, from which the search goes on; as an answer it is proved like any other, if time allows."""
_SURE_OF_STEP: Final = 0.8
_MOST_LOOKS: Final = 10
_SINGLE_STEPS: Final = 3
_NONE_AT_FIRST: Final = 0.1
_NONE_WITH_A_BEST: Final = 0.35


@dataclass(frozen=True, slots=True)
class Ask:
    """Run a trial of a setting with fresh replicas, and measure for so long after the ramp."""

    point: Point
    window_s: float


Steps: TypeAlias = "Generator[Ask, SettingObservation, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The cheapest setting that was proved to hold; None if none was, ``nothing_holds`` if not even the largest does.

    ``smaller_fails``: one CPU step less was shown not to hold. ``smaller``: the neighbours that were tried, with what
    was found.
    """

    point: Point | None
    smaller_fails: bool = False
    smaller: tuple[tuple[Point, Finding], ...] = ()
    nothing_holds: bool = False


@dataclass(slots=True)
class Cheapest:
    """The search over one grid; see the module's docstring. ``candidates``: CPU step by index of replicas.

    Where nobody measures what replicas use, nothing is predicted: every CPU step is as likely as the next, and less
    than the most memory is not tried.
    """

    grid: Grid
    first_look_s: float = FIRST_LOOK_S
    rules: Rules = field(default_factory=Rules)
    evidence: SettingEvidence = field(init=False)
    candidates: dict[int, int] = field(default_factory=dict)
    _explored: set[int] = field(default_factory=set)
    _memory: dict[int, int] = field(default_factory=dict)
    _raises: Counter[int] = field(default_factory=Counter)
    _demand_cores: float | None = None
    _usable: float = _USUAL_USE
    _idle_bytes: int = 0
    _peak: Point = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = SettingEvidence(self.rules)
        self._peak = self.grid.top

    def steps(self) -> Steps[Answer]:
        """The whole search: yields what to try, is sent what was observed, and returns the answer."""
        found = yield from self._tested(self.grid.top, passes=_PASSES_AT_TOP, fails=_FAILS_AT_TOP)
        if found is not Finding.HOLDS:
            return Answer(point=None, nothing_holds=found is not Finding.UNDECIDED)
        self._learn_from_top()
        unexplored: list[int] = []
        while unexplored != (waiting := self._unexplored()):
            unexplored = list(waiting)
            while waiting:
                replicas = min(waiting, key=self._predicted_cost)
                waiting.remove(replicas)
                yield from self._explore(replicas)
            answer = yield from self._prove()
            if answer.point is not None:
                return answer
        return Answer(point=None)

    def best_known(self) -> Answer:
        """The cheapest setting that was proved so far, by the rules of the search, and what is known of its neighbours.

        The largest one needs no more than the search did to go on from it.
        """
        held = [point for point in self.evidence.observations if self._is_enough(point)]
        point = min(held, key=self.grid.cost, default=None)
        if point is None:
            return Answer(point=None)
        findings = ((near, self._proof(near, self.rules.passes)) for near in self._smaller(point))
        return _answer(point, [(near, found) for near, found in findings if found is not None])

    def _is_enough(self, point: Point) -> bool:
        top = self.grid.top
        passes = _PASSES_AT_TOP if point == top else self.rules.passes
        has_headroom = self._has_headroom(point) or point.mem == top.mem
        return has_headroom and self._proof(point, passes) is Finding.HOLDS

    def _proof(self, point: Point, passes: int) -> Finding | None:
        return self.evidence.finding(point, passes=passes, fails=self.rules.fails)

    def _unexplored(self) -> list[int]:
        """The numbers of replicas that were not looked at: some are left out while another promises to be cheaper."""
        indexes = range(len(self.grid.replicas))
        return [index for index in indexes if index not in self._explored and self._least_cpu(index) is not None]

    def _try(self, point: Point) -> Steps[SettingObservation]:
        times = _REPEATS_FOR if self.evidence.of(point) else 1.0
        observation = yield Ask(point, times * self.first_look_s)
        self.evidence.add(point, observation)
        return observation

    def _tested(self, point: Point, *, passes: int, fails: int) -> Steps[Finding]:
        """Try a setting until it is known whether it holds, or cannot be told."""
        while (finding := self.evidence.finding(point, passes=passes, fails=fails)) is None:
            yield from self._try(point)
        return finding

    def _learn_from_top(self) -> None:
        top = self.grid.top
        idle = [each.idle_mem_bytes for each in self.evidence.of(top) if each.idle_mem_bytes is not None]
        self._idle_bytes = min(idle, default=0)
        used = self.evidence.cpu_cores(top)
        self._demand_cores = None if used is None else used * self._count(top.replicas)

    def _count(self, replicas: int) -> int:
        return self.grid.replicas[replicas]

    def _least_cpu(self, replicas: int) -> int | None:
        """The smallest step that is not hopeless; None if all are, or no memory step suffices."""
        if self._enough_memory(replicas) is None:
            return None
        return self.grid.cpu_for(_LESS_CPU_IS_HOPELESS * (self._demand_cores or 0.0) / self._count(replicas))

    def _enough_memory(self, replicas: int) -> int | None:
        """The memory step predicted from the highest working set: what load adds is shared by the replicas."""
        peak = self.evidence.peak_mem_bytes(self._peak)
        if peak is None:
            return self.grid.top.mem
        added = peak - self._idle_bytes
        share = self._count(self._peak.replicas) / self._count(replicas)
        predicted = self.grid.mem_for(MEMORY_HEADROOM * (self._idle_bytes + added * share))
        if predicted is None and self.grid.mem_for(MEMORY_HEADROOM * peak) is not None:
            return self.grid.top.mem  # it may not be shared at all
        return predicted

    def _predicted(self, replicas: int) -> int | None:
        """The CPU step that seems to be needed; None where nothing is known."""
        if self._demand_cores is None:
            return None
        cpu = self.grid.cpu_for(self._demand_cores / self._count(replicas) / self._usable)
        return self.grid.top.cpu if cpu is None else cpu

    def _predicted_cost(self, replicas: int) -> float:
        predicted = self._predicted(replicas)
        return self._cost(self.grid.top.cpu if predicted is None else predicted, replicas)

    def _cost(self, cpu: int, replicas: int) -> float:
        mem = self._enough_memory(replicas)
        return self.grid.cost(Point(cpu, self.grid.top.mem if mem is None else mem, replicas))

    def _last_worth_trying(self, replicas: int) -> int:
        """The largest CPU step that would be clearly cheaper than the best candidate; -1 if there is none."""
        if not self.candidates:
            return self.grid.top.cpu
        best = min(self._cost(cpu, index) for index, cpu in self.candidates.items())
        steps = range(len(self.grid.cpu_cores))
        return max((cpu for cpu in steps if self._cost(cpu, replicas) < best * (1 - _CHEAPER_BY)), default=-1)

    def _explore(self, replicas: int) -> Steps[None]:
        """Look for the smallest CPU step that holds with this number of replicas and all memory."""
        first, last = self._least_cpu(replicas), self._last_worth_trying(replicas)
        if first is None or first > last:
            return
        self._explored.add(replicas)
        predicted = self._predicted(replicas)
        threshold = Threshold.around(
            None if predicted is None else max(predicted, first),
            first,
            last,
            none_at_least=_NONE_WITH_A_BEST if self.candidates else _NONE_AT_FIRST,
        )
        for _ in range(_MOST_LOOKS):
            if threshold.certainty > _SURE_OF_STEP:
                break
            step = threshold.middle()
            seen = yield from self._try(self._with_all_memory(step, replicas))
            sd = (self.evidence.between_runs_variance() + seen.margin_se**2) ** 0.5
            threshold.learn(step, seen.margin, sd)
        if threshold.likeliest is not None:
            yield from self._adopt(self._with_all_memory(threshold.likeliest, replicas))

    def _with_all_memory(self, cpu: int, replicas: int) -> Point:
        return Point(cpu, self.grid.top.mem, replicas)

    def _adopt(self, point: Point) -> Steps[None]:
        """Make a setting a candidate, and learn from it what CPU and memory others need."""
        if not self.evidence.of(point):
            yield from self._try(point)
        if not self.evidence.margins(point):
            return
        self.candidates[point.replicas] = point.cpu
        used = self.evidence.cpu_cores(point)
        if used is None or self._demand_cores is None:
            return
        cores, count = self.grid.cpu_cores[point.cpu], self._count(point.replicas)
        usable = self._demand_cores / count / cores
        if _MEASURED_USE[0] < usable < _MEASURED_USE[1] and cores < _SMALL_CORES:
            self._usable = usable
        self._demand_cores = min(self._demand_cores, used * count)
        self._peak = point

    def _prove(self) -> Steps[Answer]:
        """Prove the cheapest candidate, or put right what the proof contradicts, until one is proved."""
        seen: set[Point] = set()
        while self.candidates:
            replicas = min(self.candidates, key=lambda index: self.grid.cost(self._candidate(index)))
            point = self._candidate(replicas)
            seen.add(point)
            found = yield from self._proved(point)
            if self._put_right(point, found):
                continue
            smaller: list[tuple[Point, Finding]] = []
            for neighbour in self._smaller(point):
                found = yield from self._proved(neighbour)
                if found is Finding.HOLDS and neighbour not in seen and self._has_headroom(neighbour):
                    self._settle(neighbour)
                    break
                smaller.append((neighbour, found))
            else:
                return _answer(point, smaller)
        return Answer(point=None)

    def _proved(self, point: Point) -> Steps[Finding]:
        return (yield from self._tested(point, passes=self.rules.passes, fails=self.rules.fails))

    def _candidate(self, replicas: int) -> Point:
        """The setting to prove for this number of replicas."""
        point = self._with_all_memory(self.candidates[replicas], replicas)
        if replicas not in self._memory:
            peak = self.evidence.peak_mem_bytes(point)
            mem = self.grid.mem_for(MEMORY_HEADROOM * peak) if peak else self._enough_memory(replicas)
            self._memory[replicas] = point.mem if mem is None else mem
        return point._replace(mem=self._memory[replicas])

    def _put_right(self, point: Point, found: Finding) -> bool:
        """Replace a candidate that did not hold, or has no memory to spare; whether it was replaced."""
        short_of_memory = found is Finding.BREAKS or not self._has_headroom(point)
        if short_of_memory and point.mem < self.grid.top.mem:
            self._memory[point.replicas] = point.mem + 1
        elif found is Finding.HOLDS:
            return False
        elif found is Finding.BREAKS or point.cpu == self.grid.top.cpu:
            del self.candidates[point.replicas]
        else:
            self._raise_cpu(point)
        return True

    def _raise_cpu(self, point: Point) -> None:
        """One step more, and longer steps after a few: more CPU may not help at all."""
        self._raises[point.replicas] += 1
        step = max(1, 2 ** (self._raises[point.replicas] - _SINGLE_STEPS))
        self._settle(point._replace(cpu=min(point.cpu + step, self.grid.top.cpu)))

    def _settle(self, point: Point) -> None:
        self.candidates[point.replicas], self._memory[point.replicas] = point.cpu, point.mem

    def _has_headroom(self, point: Point) -> bool:
        return MEMORY_HEADROOM * (self.evidence.peak_mem_bytes(point) or 0) <= self.grid.mem_bytes[point.mem]

    def _smaller(self, point: Point) -> Sequence[Point]:
        """One CPU step less, and one memory step less if the usual working set would fit."""
        smaller = [point._replace(cpu=point.cpu - 1)] if point.cpu else []
        peak = self.evidence.usual_peak_mem_bytes(point)
        if point.mem and peak is not None and MEMORY_HEADROOM * peak <= self.grid.mem_bytes[point.mem - 1]:
            smaller.append(point._replace(mem=point.mem - 1))
        return smaller


def _answer(point: Point, smaller: Sequence[tuple[Point, Finding]]) -> Answer:
    fails = any(found in {Finding.FAILS, Finding.BREAKS} for tried, found in smaller if tried.cpu < point.cpu)
    return Answer(point=point, smaller_fails=fails or not point.cpu, smaller=tuple(smaller))
