"""ArrivalShape: a rate of arrivals that a function in the Locust file gives, and the stages that stand for it.

The function is sampled once, before a run, in the process that controls it. What it gave is recorded as stages, like a
rate that somebody has written, so nothing else has to call it again. It is looked at every 100 ms, and more closely
where a straight line does not fit: a step is found to the microsecond, unless it is undone before the next look.
"""

from __future__ import annotations

from array import array
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Final

from loadstone.domain.arrival_rate import MOST_PER_S
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LONGEST_S", "MOST_STAGES", "ArrivalShape", "sampled"]

LONGEST_S: Final = 86_400
"""The longest run under an arrival shape, seconds."""
MOST_STAGES: Final = 1000
"""As many lines as an event holds."""
_US_PER_S: Final = 1_000_000
_STEP_US: Final = 100_000
_FINEST: Final = 0.001
_COARSEST: Final = 0.01
"""How far a stage may be from the function, as a share of the highest rate: the first that is coarse enough."""
_MOST_HALVINGS: Final = 200_000
"""Of the times between regular looks; a thousand steps take a tenth of that."""
_CURE: Final = "rate(self, elapsed) returns arrivals per second from 0 to 1,000,000, or None to end the run"


class ArrivalShape:
    """How many iterations arrive, as a function of time (open model). Define a subclass in a Locust file.

    The number of users follows from it, so `locust.LoadTestShape` and ``--rate`` exclude it. There may be one in a
    scenario; a class that others inherit from does not count.
    """

    def rate(self, elapsed: float) -> float | None:
        """Arrivals per second at ``elapsed`` seconds after the first one may be due; None ends the run.

        It must be a pure function: it is called before the run, and not in order of time.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define rate(self, elapsed)")


def sampled(shape: ArrivalShape, length_s: float | None = None) -> tuple[str, ...]:
    """The stages, as people write them, until the shape ends the run, or ``length_s`` seconds after it began.

    Each has a duration. They are within 0.1 % of the highest rate of the function at every sample, or within up to 1 %
    where more than `MOST_STAGES` would be needed. Raises `UsageError` for a shape that gives no rate, or has no end.
    """
    return _Sampling(shape, length_s).stages()


class _Points:
    """Times (us) and rates, ascending in time; where the rate jumps there are two of one time."""

    def __init__(self) -> None:
        self.times_us, self.rates = array("q"), array("d")

    def add(self, at_us: int, rate: float) -> None:
        self.times_us.append(at_us)
        self.rates.append(rate)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self.times_us, self.rates, strict=True)


class _Sampling:
    def __init__(self, shape: ArrivalShape, length_s: float | None) -> None:
        self._name = type(shape).__name__
        self._rate = shape.rate
        if length_s is not None and length_s > LONGEST_S:
            raise self._refusal(f"is to run for {length_s:g} s, which is longer than 24 h", "Choose a shorter run time")
        self._has_length = length_s is not None
        self._last_us = round((LONGEST_S if length_s is None else length_s) * _US_PER_S)
        self._halvings_left = _MOST_HALVINGS

    def stages(self) -> tuple[str, ...]:
        coarse = self._look_regularly()
        peak = max(coarse.rates)
        points = self._look_closely(coarse, _FINEST * peak)
        peak = max(points.rates)
        if not peak:
            raise self._refusal("lets nothing arrive: its rate is always 0")
        share = _FINEST
        while share <= _COARSEST:
            lines = tuple(_lines(points, share * peak))
            if len(lines) <= MOST_STAGES:
                return lines
            share *= 2
        raise self._changes_too_often()

    def _look_regularly(self) -> _Points:
        """The function every 100 ms, and at its end."""
        points = _Points()
        for at_us in range(0, self._last_us, _STEP_US):
            if (rate := self._look(at_us)) is None:
                return self._ended(points, at_us)
            points.add(at_us, rate)
        if not self._has_length:
            raise self._refusal("never ends", "Let rate() return None at the end of the run, or give a --run-time")
        if (rate := self._look(self._last_us)) is None:
            return self._ended(points, self._last_us)
        points.add(self._last_us, rate)
        return points

    def _ended(self, points: _Points, none_us: int) -> _Points:
        """The points, with the moment that is the first one without a rate."""
        if not points.rates:
            raise self._refusal("ends the run at its beginning: rate(0) is None")
        at_us, rate = points.times_us[-1], points.rates[-1]
        while none_us - at_us > 1:
            middle_us = (at_us + none_us) // 2
            if (found := self._look(middle_us)) is None:
                none_us = middle_us
            else:
                at_us, rate = middle_us, found
        points.add(none_us, rate)
        return points

    def _look_closely(self, coarse: _Points, off: float) -> _Points:
        """The points, and those between them where the function is further than ``off`` from a straight line."""
        points = _Points()
        before: tuple[int, float] | None = None
        for point in coarse:
            if before is not None:
                self._halve(before, point, off, points)
            points.add(*point)
            before = point
        return points

    def _halve(self, left: tuple[int, float], right: tuple[int, float], off: float, points: _Points) -> None:
        """Add the points that are missing between two."""
        middle_us = (left[0] + right[0]) // 2
        if middle_us == left[0]:
            if abs(right[1] - left[1]) > off:
                points.add(right[0], left[1])
            return
        if (rate := self._look(middle_us)) is None:
            raise self._refusal(f"gives None at {middle_us / _US_PER_S:g} s, and a rate again afterwards")
        share = (middle_us - left[0]) / (right[0] - left[0])
        if abs(left[1] + share * (right[1] - left[1]) - rate) <= off:
            return
        self._halvings_left -= 1
        if self._halvings_left < 0:
            raise self._changes_too_often()
        middle = (middle_us, rate)
        self._halve(left, middle, off, points)
        points.add(*middle)
        self._halve(middle, right, off, points)

    def _look(self, at_us: int) -> float | None:
        at_s = at_us / _US_PER_S
        try:
            rate: object = self._rate(at_s)
        except Exception as error:
            raise self._refusal(f"raises {type(error).__name__}: {error} at {at_s:g} s") from error
        if rate is None:
            return None
        if isinstance(rate, Real) and not isinstance(rate, bool):
            number = float(rate)
            if isfinite(number) and 0 <= number <= MOST_PER_S:
                return number
        shown = f"{rate:.6g}" if isinstance(rate, float) and 0 > rate > -MOST_PER_S else repr(rate)
        raise self._refusal(f"gives {shown} at {at_s:g} s, which is no rate")

    def _changes_too_often(self) -> UsageError:
        cure = "Let it change more slowly, or choose a shorter run time; it must be a pure function of elapsed"
        return self._refusal(f"changes too often: it takes more than {MOST_STAGES:,} stages to follow it", cure)

    def _refusal(self, what: str, cure: str = _CURE) -> UsageError:
        return UsageError(f"the arrival shape {self._name} {what}", hint=cure)


def _lines(points: _Points, off: float) -> Iterator[str]:
    """Stages that are nowhere further than ``off`` from the points, each as long as that goes.

    The swing filter of H. Elmeleegy et al., "Online piece-wise linear approximation of numerical streams with precision
    guarantees", VLDB 2009: every stage begins where the one before it ends, unless the function jumps there.
    """
    (start_us, start), *_ = points
    end_us, end = start_us, start
    low, high = float("-inf"), float("inf")
    for at_us, rate in points:
        if at_us == start_us:
            end = start = rate
            continue
        if at_us == end_us:  # a jump
            yield _line(start, end, end_us - start_us)
            start_us, start, low, high = at_us, rate, float("-inf"), float("inf")
        else:
            since_us = at_us - start_us
            narrow = max(low, (rate - off - start) / since_us), min(high, (rate + off - start) / since_us)
            if narrow[0] > narrow[1]:
                yield _line(start, end, end_us - start_us)
                start_us, start, since_us = end_us, end, at_us - end_us
                narrow = (rate - off - start) / since_us, (rate + off - start) / since_us
            low, high = narrow
            slope = min(max((rate - start) / since_us, low), high)
            end = max(0.0, start + slope * since_us)
        end_us = at_us
    if end_us > start_us:
        yield _line(start, end, end_us - start_us)


def _line(first: float, last: float, over_us: int) -> str:
    """A stage; its rates have six digits, as the end of a run is found to the microsecond and so is not round."""
    one, other = (_decimal(float(f"{each:.6g}")) for each in (first, last))
    rate = f"{one}/s" if one == other else f"{one}/s..{other}/s"
    return f"{rate} over {_decimal(over_us / _US_PER_S)}s"


def _decimal(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")
