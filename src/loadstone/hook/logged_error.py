"""Logged errors: errors that a scenario writes into Locust's statistics itself, and the requests that they belong to.

Locust counts such an error as a failure and as no request. In the archive a failure is a request that failed, so an
error makes the request to which it belongs a failed one: the newest of the same method and name, or the one that is
logged directly afterwards, because some scenarios log the error first. Either way all totals stay Locust's.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loadstone.domain.batch import NO_ERROR
from loadstone.hook.odd_event import text_of

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["LoggedError", "requests_of_errors"]


class LoggedError(NamedTuple):
    """The arguments of one call of ``log_error`` at ``end`` (monotonic clock, ns).

    ``place`` is how many samples there were at that moment; None in a native thread, where that is not known.
    """

    end: int
    method: Any
    name: Any
    error: Any
    place: int | None

    @property
    def key(self) -> tuple[Any, Any]:
        """Method and name as the Recorder keeps them; as text where they cannot be looked up."""
        try:
            hash((self.method, self.name))
        except Exception:  # noqa: BLE001  (a scenario's own type may raise anything)
            return text_of(self.method), text_of(self.name)
        return self.method, self.name


def requests_of_errors(
    places: Sequence[int],
    names: Sequence[int],
    name_column: array[int],
    error_column: array[int],
    logged_requests: AbstractSet[int],
) -> list[int | None]:
    """The sample of each error, None where it has none: such an error belongs to no request that is still here.

    ``places`` and ``names`` belong to the errors, the columns to the samples. Each sample takes one error.
    """
    column = np.array(name_column, np.int32)
    samples: dict[int, list[int]] = {name: np.flatnonzero(column == name).tolist() for name in set(names)}
    taken: set[int] = set()
    found: list[int | None] = []
    for place, name in zip(places, names, strict=True):
        own = samples[name]
        at = bisect_left(own, place)
        candidates = (*own[max(at - 1, 0) : at], *(each for each in own[at : at + 1] if each in logged_requests))
        free = (each for each in candidates if error_column[each] == NO_ERROR and each not in taken)
        found.append(chosen := next(free, None))
        if chosen is not None:
            taken.add(chosen)
    return found
