"""Expected arrivals: how many the rate comes to in a part of its schedule, and how far a sound run may be off that.

No worker counts what it was to begin when it was killed, nor what was due between its end and the next epoch. So how
many arrivals there were is compared with what the rate asks for. They may differ by whatever is more:

- 0.5 %.
- *Chance and edges.* Chance: four standard deviations of Poisson arrivals, which one run in 16,000 exceeds; with a
  constant spread one arrival of each worker. Edges: what arrives in a fifth of a second, because at either end of the
  window the clocks of master and workers may be a tenth apart. In sound runs of some seconds they took up to 20 ms.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.domain.arrivals import Spread

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Expected", "expected_arrivals"]

_SHARE: Final = 0.005
_DEVIATIONS: Final = 4.0
_EDGES_S: Final = 0.2


class Expected(NamedTuple):
    """How many arrivals the rate asks for, and by how many a sound run may differ from that."""

    arrivals: float
    tolerance: float


def expected_arrivals(rate: Iterable[str], spread: str | None, workers: int, from_s: float, to_s: float) -> Expected:
    """The arrivals from ``from_s`` to ``to_s``, seconds after the schedule began, shared by so many ``workers``.

    ``rate``: its stages, at least one, as people write them. Raises `SettingsError` where these are wrong.
    """
    curve = RateCurve(parse_stages(rate))
    from_s, to_s = max(0.0, from_s), max(0.0, to_s)
    arrivals = max(0.0, curve.total(to_s) - curve.total(from_s))
    chance = workers if spread == Spread.CONSTANT else _DEVIATIONS * sqrt(arrivals)
    near = (at_s + side_s for at_s in (from_s, to_s) for side_s in (-_EDGES_S, _EDGES_S))
    edges = _EDGES_S * max(curve.rate(max(0.0, each)) for each in near)
    return Expected(arrivals, max(_SHARE * arrivals, chance + edges))
