"""How late the iterations of an open model began: a histogram that can be merged, and the exact maximum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadstone.domain.batch import NO_INTENT
from loadstone.domain.facts import ArrivalFacts
from loadstone.domain.histogram import Histogram
from loadstone.domain.time import US_PER_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loadstone.domain.arrival_counts import ArrivalCounts
    from loadstone.domain.expected_arrivals import Expected

__all__ = ["Lateness"]


@dataclass(slots=True)
class Lateness:
    """How late some iterations began."""

    histogram: Histogram = field(default_factory=Histogram)
    max_us: int = 0

    @classmethod
    def of_requests(cls, late_us: NDArray[np.int64]) -> Lateness:
        """That of the iterations whose first requests are among these; `NO_INTENT` (microseconds) for all others."""
        lateness = cls()
        lateness.add(late_us[late_us > NO_INTENT])
        return lateness

    def add(self, late_us: NDArray[np.int64]) -> None:
        """Count in iterations that began so late, microseconds."""
        if len(late_us):
            self.histogram.merge(Histogram.of(late_us))
            self.max_us = max(self.max_us, int(late_us.max()))

    def merge(self, other: Lateness) -> None:
        """Count in the iterations of another one."""
        self.histogram.merge(other.histogram)
        self.max_us = max(self.max_us, other.max_us)

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile, ms; None where no iteration began."""
        return min(self.histogram.percentile_us(99), self.max_us) / US_PER_MS if self.histogram.counts else None

    @property
    def max_ms(self) -> float | None:
        """The latest one, ms; None where no iteration began."""
        return self.max_us / US_PER_MS if self.histogram.counts else None

    def facts(self, counts: ArrivalCounts, expected: Expected | None) -> ArrivalFacts:
        """Together with how many arrivals there were, and were expected."""
        return ArrivalFacts(
            **counts._asdict(),
            lateness_p99_ms=self.p99_ms,
            lateness_max_ms=self.max_ms,
            expected=expected.arrivals if expected else None,
            tolerance=expected.tolerance if expected else 0.0,
        )
