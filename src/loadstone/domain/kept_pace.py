"""What the percentiles of a closed run would be if its users had kept their pace, where that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.in_flight import percentiles_us
from loadstone.domain.objective import number_text
from loadstone.domain.rollup import merged
from loadstone.domain.time import US_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts
    from loadstone.domain.objective import Objective

__all__ = ["kept_pace_ms", "pace_notices"]

_SHOWN: Final = (50.0, 90.0, 95.0, 99.0)
_MATTERS: Final = 1.1
_MATTERS_MS: Final = 1.0


def kept_pace_ms(facts: RunFacts, percents: tuple[float, ...]) -> list[float]:
    """Percentiles (0-100) of the window's durations, ms, together with what `loadstone.domain.omission` found."""
    omission, in_flight = facts.target.omission, facts.target.in_flight.total
    lacking = [omission.rollup] if omission else []
    return [each / US_PER_MS for each in percentiles_us(merged([facts.total, *lacking]), in_flight, percents)]


def pace_notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """One sentence if a percentile would be more than 10 % and 1 ms higher, or an objective be missed."""
    omission, measured = facts.target.omission, percentiles_us(facts.total, facts.target.in_flight.total, _SHOWN)
    if omission is None:
        return
    both_ms = zip(_SHOWN, kept_pace_ms(facts, _SHOWN), [each / US_PER_MS for each in measured], strict=True)
    higher = [
        f"p{percent:g} would be {number_text(kept_ms)} ms instead of {number_text(found_ms)} ms"
        for percent, kept_ms, found_ms in both_ms
        if kept_ms > max(_MATTERS * found_ms, found_ms + _MATTERS_MS)
    ]
    would = [", ".join(higher)] if higher else []
    missed = [each.text for each in objectives if _is_missed_only_then(each, facts)]
    would += [f"{', '.join(missed)} would be missed"] if missed else []
    if would:
        fewer, rate, span_s = _about(omission.rollup.n), _about(omission.rate), number_text(omission.seconds)
        yield (
            f"closed model: while the target was slow, users waited, and sent about {fewer} requests fewer than usual "
            f"in {span_s} s of the window. Had they kept their pace of about {rate} requests a second, "
            f"{', and '.join(would)}. With `--rate` nobody waits for answers"
        )


def _about(number: float) -> str:
    """Three significant digits."""
    return f"{float(f'{number:.3g}'):,.10g}"


def _is_missed_only_then(objective: Objective, facts: RunFacts) -> bool:
    if facts.target.omission is None or not objective.is_latency or objective.name is not None:
        return False
    kept = facts.assuming(facts.target.omission.rollup)
    return objective.evaluate(facts).ok is True and objective.evaluate(kept).ok is False
