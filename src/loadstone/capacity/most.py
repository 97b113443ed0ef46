"""The search for the most load that a target as it is holds, as a conversation: it asks for trials at levels of load.

A level is a number of users, or a rate of arrivals. `Most` doubles it with short looks until one does not hold, halves
the distance between the highest level that holds and the lowest that does not (on a logarithmic scale), and then holds
the answer for longer. A level is tried again until its margin is clear of zero: one that stays undecided never counts
as held. Each trial is a run of its own, so nothing of a ramp and nothing of another level is in its figures: a
percentile over all requests since the start overestimates, because it remembers the quiet beginning.

Once a level holds, each trial of another one names those that would prove it: where time is limited, whoever makes the
trials leaves off while there is enough for them, and proves what is `best_known`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from loadstone.capacity.evidence import Evidence, Finding, Observation, Rules
from loadstone.capacity.levels import USERS, Levels

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["MEASURE_S", "AskLevel", "Most", "MostAnswer"]

T = TypeVar("T")
_LOOKS_FOR, _HOLDS_FOR = 0.5, 4.0
"""How long the first look at a level and the proof of the answer last, as multiples of an ordinary trial."""
MEASURE_S: Final = 30.0
_LEVEL_RULES: Final = Rules(sure=1.645, sure_at_once=2.0, most_trials=3, between_runs_sd=0.06)
_PROOF_RULES: Final = Rules(sure=1.28, sure_at_once=1.28, most_trials=2, between_runs_sd=0.06)
"""Both tuned by simulation (tests/bench/capacity/bench_users.py) so that no answer is too high: the proof confirms what
other trials have shown, so it may be less sure by itself."""


@dataclass(frozen=True, slots=True)
class AskLevel:
    """Run a trial at this level of load, and measure for so long after the ramp.

    It makes sense only if there is time for the trials that come ``then`` as well.
    """

    level: float
    window_s: float
    then: tuple[AskLevel, ...] = ()


_Steps: TypeAlias = "Generator[AskLevel, Observation, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class MostAnswer:
    """``holds``: the highest level that was proved to hold, None if not even the lowest did.

    ``not_held``: the lowest above it that did not hold, or could not be decided; None if all that were allowed hold.
    ``undecided``: that one was too near the limit to tell.
    """

    holds: float | None
    not_held: float | None
    undecided: bool = False


@dataclass(slots=True)
class Most:
    """The search from ``least`` to ``most``, beginning at ``first``; a trial measures for ``measure_s``.

    ``levels``: which amounts in that range may be tried.
    """

    least: float = 1
    most: float = 1_000_000
    first: float = 100
    levels: Levels = USERS
    measure_s: float = MEASURE_S
    rules: Rules = _LEVEL_RULES
    evidence: Evidence[float, Observation] = field(init=False)
    proof: Evidence[float, Observation] = field(init=False)
    """The long trials alone: short ones cannot make up for a leak or a queue that only they show."""

    def __post_init__(self) -> None:
        self.evidence, self.proof = Evidence(self.rules), Evidence(_PROOF_RULES)

    def steps(self) -> _Steps[MostAnswer]:
        """The whole search: yields trials, is sent what was observed, and returns the answer."""
        low, high = yield from self._bracket()
        while low is not None:
            while high is not None and (middle := self.levels.between(low, high)) is not None:
                if (yield from self._holds(middle, then=self._proof_of(low))):
                    low = middle
                else:
                    high = middle
            if (yield from self._held(low)):
                break
            high, low = low, self._below(low)
        return self._answer(low, high)

    def below(self, most: float) -> Most:
        """A search that knows what this one knows, and goes up to ``most`` only, beginning there."""
        search = replace(self, most=most, first=most)
        search.evidence, search.proof = self.evidence, self.proof
        return search

    def best_known(self) -> MostAnswer:
        """The highest level that held so far and was not found not to when tried for longer, and the lowest above.

        That one was decided, or is as near to the limit as can be told: one trial of a level says nothing.
        """
        found = {level: self._finding(level) for level in self.evidence.observations}
        holds = max((level for level, finding in found.items() if finding is Finding.HOLDS), default=None)
        above = (level for level, finding in found.items() if level > (holds or 0) and finding is not None)
        return self._answer(holds, min(above, default=None))

    def is_proved(self, level: float | None) -> bool:
        """Whether this level held for longer too."""
        return level is not None and self.proof.finding(level) is Finding.HOLDS

    def _bracket(self) -> _Steps[tuple[float | None, float | None]]:
        """A level that holds and a higher one that does not; None for one that there is not within the range."""
        level = min(max(self.first, self.least), self.most)
        low: float | None = None
        high: float | None = None
        if (yield from self._holds(level, _LOOKS_FOR)):
            low = level
            while high is None and low < self.most:
                level = min(self.levels.above(low), self.most)
                if (yield from self._holds(level, _LOOKS_FOR, self._proof_of(low))):
                    low = level
                else:
                    high = level
            return low, high
        high = level
        while low is None and high > self.least:
            level = max(self.levels.below(high), self.least)
            if (yield from self._holds(level, _LOOKS_FOR)):
                low = level
            else:
                high = level
        return low, high

    def _holds(self, level: float, first_for: float = 1.0, then: tuple[AskLevel, ...] = ()) -> _Steps[bool]:
        """Try a level until it is decided, or as often as is allowed; the first trial may be shorter."""
        while (finding := self.evidence.finding(level)) is None:
            times = 1.0 if self.evidence.of(level) else first_for
            self.evidence.add(level, (yield AskLevel(level, times * self.measure_s, then)))
        return finding is Finding.HOLDS

    def _proof_of(self, level: float) -> tuple[AskLevel, ...]:
        """The trials that prove a level, if none of them is clear by itself."""
        return (AskLevel(level, _HOLDS_FOR * self.measure_s),) * _PROOF_RULES.most_trials

    def _held(self, level: float) -> _Steps[bool]:
        """Whether the answer holds for longer too."""
        while (finding := self.proof.finding(level)) is None:
            observation = yield AskLevel(level, _HOLDS_FOR * self.measure_s)
            self.evidence.add(level, observation)
            self.proof.add(level, observation)
        return finding is Finding.HOLDS

    def _below(self, level: float) -> float | None:
        """Where to go on below a level that did not hold after all: the next that did, or a small step down."""
        held = [each for each in self.evidence.observations if each < level and self._finding(each) is Finding.HOLDS]
        if held:
            return max(held)
        return max(self.least, self.levels.slightly_below(level)) if level > self.least else None

    def _finding(self, level: float) -> Finding | None:
        """Of all trials of a level; of the long ones, where there are any and all together hold."""
        finding = self.evidence.finding(level)
        return self.proof.finding(level) if finding is Finding.HOLDS and self.proof.of(level) else finding

    def _answer(self, holds: float | None, not_held: float | None) -> MostAnswer:
        is_undecided = not_held is not None and self._finding(not_held) is Finding.UNDECIDED
        return MostAnswer(holds=holds, not_held=not_held, undecided=is_undecided)
