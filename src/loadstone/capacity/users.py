"""The search for the most users that a target as it is holds, as a conversation: it asks for trials at levels of users.

`MostUsers` doubles the number of users with short looks until a level does not hold, halves the distance between the
highest level that holds and the lowest that does not (on a logarithmic scale), and then holds the answer for longer. A
level is tried again until its margin is clear of zero: one that stays undecided never counts as held. Each trial is a
run of its own, so nothing of a ramp and nothing of another level is in its figures: a percentile over all requests
since the start overestimates, because it remembers the quiet beginning.

Once a level holds, each trial of another one names those that would prove it: where time is limited, whoever makes the
trials leaves off while there is enough for them, and proves what is `best_known`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from loadstone.capacity.evidence import Evidence, Finding, Observation, Rules

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["MEASURE_S", "AskUsers", "MostUsers", "UsersAnswer"]

T = TypeVar("T")
_GROW: Final = 2.0
_RESOLUTION: Final = 1.05
_LOOKS_FOR, _HOLDS_FOR = 0.5, 4.0
"""How long the first look at a level and the proof of the answer last, as multiples of an ordinary trial."""
MEASURE_S: Final = 30.0
_USERS_RULES: Final = Rules(sure=1.645, sure_at_once=2.0, most_trials=3, between_runs_sd=0.06)
_PROOF_RULES: Final = Rules(sure=1.28, sure_at_once=1.28, most_trials=2, between_runs_sd=0.06)
"""Both tuned by simulation (tests/bench/capacity/bench_users.py) so that no answer is too high: the proof confirms what
other trials have shown, so it may be less sure by itself."""


@dataclass(frozen=True, slots=True)
class AskUsers:
    """Run a trial with so many users, and measure for so long after the ramp.

    It makes sense only if there is time for the trials that come ``then`` as well.
    """

    users: int
    window_s: float
    then: tuple[AskUsers, ...] = ()


_Steps: TypeAlias = "Generator[AskUsers, Observation, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersAnswer:
    """``holds``: the most users that were proved to hold, None if not even the fewest did.

    ``not_held``: the fewest above them that did not hold, or could not be decided; None if all that were allowed hold.
    ``undecided``: those were too near the limit to tell.
    """

    holds: int | None
    not_held: int | None
    undecided: bool = False


@dataclass(slots=True)
class MostUsers:
    """The search from ``fewest`` to ``most`` users, beginning at ``first``; a trial measures for ``measure_s``."""

    fewest: int = 1
    most: int = 1_000_000
    first: int = 100
    measure_s: float = MEASURE_S
    rules: Rules = _USERS_RULES
    evidence: Evidence[int, Observation] = field(init=False)
    proof: Evidence[int, Observation] = field(init=False)
    """The long trials alone: short ones cannot make up for a leak or a queue that only they show."""

    def __post_init__(self) -> None:
        self.evidence, self.proof = Evidence(self.rules), Evidence(_PROOF_RULES)

    def steps(self) -> _Steps[UsersAnswer]:
        """The whole search: yields trials, is sent what was observed, and returns the answer."""
        low, high = yield from self._bracket()
        while low is not None:
            while high is not None and (middle := _middle(low, high)) is not None:
                if (yield from self._holds(middle, then=self._proof_of(low))):
                    low = middle
                else:
                    high = middle
            if (yield from self._held(low)):
                break
            high, low = low, self._below(low)
        return self._answer(low, high)

    def below(self, most: int) -> MostUsers:
        """A search that knows what this one knows, and goes up to ``most`` users only, beginning there."""
        search = replace(self, most=most, first=most)
        search.evidence, search.proof = self.evidence, self.proof
        return search

    def best_known(self) -> UsersAnswer:
        """The most users that held so far and were not found not to when tried for longer, and the fewest above.

        Those above were decided, or as near to the limit as can be told: one trial of a level says nothing.
        """
        found = {users: self._finding(users) for users in self.evidence.observations}
        holds = max((users for users, finding in found.items() if finding is Finding.HOLDS), default=None)
        above = (users for users, finding in found.items() if users > (holds or 0) and finding is not None)
        return self._answer(holds, min(above, default=None))

    def is_proved(self, users: int | None) -> bool:
        """Whether so many users held for longer too."""
        return users is not None and self.proof.finding(users) is Finding.HOLDS

    def _bracket(self) -> _Steps[tuple[int | None, int | None]]:
        """A level that holds and a higher one that does not; None for one that there is not within the range."""
        users = min(max(self.first, self.fewest), self.most)
        low, high = None, None
        if (yield from self._holds(users, _LOOKS_FOR)):
            low = users
            while high is None and low < self.most:
                users = min(ceil(low * _GROW), self.most)
                if (yield from self._holds(users, _LOOKS_FOR, self._proof_of(low))):
                    low = users
                else:
                    high = users
            return low, high
        high = users
        while low is None and high > self.fewest:
            users = max(floor(high / _GROW), self.fewest)
            if (yield from self._holds(users, _LOOKS_FOR)):
                low = users
            else:
                high = users
        return low, high

    def _holds(self, users: int, first_for: float = 1.0, then: tuple[AskUsers, ...] = ()) -> _Steps[bool]:
        """Try a level until it is decided, or as often as is allowed; the first trial may be shorter."""
        while (finding := self.evidence.finding(users)) is None:
            times = 1.0 if self.evidence.of(users) else first_for
            self.evidence.add(users, (yield AskUsers(users, times * self.measure_s, then)))
        return finding is Finding.HOLDS

    def _proof_of(self, users: int) -> tuple[AskUsers, ...]:
        """The trials that prove a level, if none of them is clear by itself."""
        return (AskUsers(users, _HOLDS_FOR * self.measure_s),) * _PROOF_RULES.most_trials

    def _held(self, users: int) -> _Steps[bool]:
        """Whether the answer holds for longer too."""
        while (finding := self.proof.finding(users)) is None:
            observation = yield AskUsers(users, _HOLDS_FOR * self.measure_s)
            self.evidence.add(users, observation)
            self.proof.add(users, observation)
        return finding is Finding.HOLDS

    def _below(self, users: int) -> int | None:
        """Where to go on below a level that did not hold after all: the next that did, or a small step down."""
        held = [each for each in self.evidence.observations if each < users and self._finding(each) is Finding.HOLDS]
        if held:
            return max(held)
        return max(self.fewest, floor(users / _RESOLUTION)) if users > self.fewest else None

    def _finding(self, users: int) -> Finding | None:
        """Of all trials of a level; of the long ones, where there are any and all together hold."""
        finding = self.evidence.finding(users)
        return self.proof.finding(users) if finding is Finding.HOLDS and self.proof.of(users) else finding

    def _answer(self, holds: int | None, not_held: int | None) -> UsersAnswer:
        is_undecided = not_held is not None and self._finding(not_held) is Finding.UNDECIDED
        return UsersAnswer(holds=holds, not_held=not_held, undecided=is_undecided)


def _middle(low: int, high: int) -> int | None:
    """The level to try between two; None if they are near enough."""
    if high <= max(low * _RESOLUTION, low + 1):
        return None
    return min(max(round(sqrt(low * high)), low + 1), high - 1)
