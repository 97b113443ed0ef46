"""Delivery: lines into InfluxDB, for as long as it takes; only lines that InfluxDB will never accept come back."""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from loadstone.influx.answer import WriteOutcome
from loadstone.influx.pace import FEWEST_LINES, MOST_LINES, Pace
from loadstone.influx.sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from loadstone.influx.answer import WriteAnswer

__all__ = ["LONGEST_PAUSE_S", "MOST_LINES", "Delivery", "Outage", "Rejection", "Sink", "Watch"]

_FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 15.0
"""Between two tries, unless InfluxDB asks for a longer one or refuses token, bucket or address."""

_GROWTH: Final = 8
_UNDECIDED: Final = frozenset({WriteOutcome.AWAY, WriteOutcome.REFUSED, WriteOutcome.SLOW})
log = logging.getLogger("loadstone.influx")


class Rejection(NamedTuple):
    """A line that InfluxDB does not accept: its position among those given, and the reason."""

    at: int
    reason: str


class Sink(Protocol):
    """Where lines go: `InfluxClient`, or its stand-in in a test."""

    def write(self, lines: bytes) -> WriteAnswer:
        """Send lines in one request."""
        ...

    def reload_token(self) -> None:
        """Read the token again, in case it was corrected."""
        ...


class Watch(Protocol):
    """Learns of writes that got nowhere. What it raises ends the delivery."""

    def failed(self, answer: WriteAnswer) -> None:
        """A write was not decided, and is tried again."""
        ...

    def over(self) -> None:
        """After such failures: a write was decided."""
        ...


class Outage:
    """Whether InfluxDB takes lines, as all deliveries of a process learn it; each state is logged once.

    ``watch`` is told of it too. Before ``paused_until_s`` none of them begins a write: a write that failed has set it.
    ``failures_ever`` only grows, so that a delivery notices failures of others.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch
        self.paused_until_s = 0.0
        self.failures_ever = 0
        self._lock = threading.Lock()
        self._failures = 0
        self._since_s = 0.0
        self._reported: tuple[WriteOutcome, int] | None = None

    def failed(self, answer: WriteAnswer, now_s: float) -> int:
        """A write was not decided; how many were not since the last one that was."""
        with self._lock:
            if not self._failures:
                self._since_s = now_s
            self._failures += 1
            self.failures_ever += 1
            if self._watch:
                self._watch.failed(answer)
            if self._reported != (answer.outcome, answer.status):
                self._reported = (answer.outcome, answer.status)
                is_refused = answer.outcome is WriteOutcome.REFUSED
                action = "'correct the token, the bucket or the address'" if is_refused else "none"
                state = "refused" if is_refused else "away"
                log.error("state=%s reason=%r nothing_lost=yes retry=for_ever action=%s", state, answer.reason, action)
            return self._failures

    def pause_until(self, at_s: float) -> None:
        """Send nothing before that moment."""
        with self._lock:
            self.paused_until_s = max(self.paused_until_s, at_s)

    def over(self, now_s: float) -> None:
        """A write was decided."""
        with self._lock:
            if self._reported is not None:
                log.warning("state=writing after_s=%.1f tries=%d", now_s - self._since_s, self._failures)
                if self._watch:
                    self._watch.over()
            self._reported, self._failures = None, 0


class Delivery:
    """Sends lines in requests of bounded size, which adapts to how long writes take.

    ``wait`` pauses for the given number of seconds; it is called before each request, mostly with 0, and what it raises
    ends a delivery. After a refusal of token, bucket or address the pause is ``refused_pause_s``.
    """

    def __init__(
        self,
        sink: Sink,
        wait: Callable[[float], None],
        *,
        refused_pause_s: float,
        outage: Outage | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._wait = wait
        self._refused_pause_s = refused_pause_s
        self._outage = outage or Outage()
        self._now_s = now_s
        self._pace = Pace()
        self._most_lines = MOST_LINES
        self._failures_seen = 0

    def deliver(
        self, lines: Sequence[str], guard: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> list[Rejection]:
        """Return when every line is stored or rejected; the rejected ones, in order.

        ``guard`` is entered around each request; what it raises ends the delivery.
        """
        sieve = Sieve(lines, partial(self._send, guard=guard))
        parts: list[Sequence[int]] = [range(len(lines))] if lines else []
        while parts:
            part = parts.pop()
            size = min(self._most_lines, self._pace.lines, sieve.limit)
            if len(part) > size:  # the first lines go first: a later point replaces an earlier one of the same key
                parts += [part[size:], part[:size]]
                continue
            answer = sieve.send(part)
            if answer.outcome is WriteOutcome.STORED:
                sieve.note_stored()
            elif answer.outcome is WriteOutcome.REJECTED or len(part) == 1:
                parts += [rest for rest in [sieve.sort_out(part, answer)] if rest]
            else:
                parts.append(part)  # what was too large or too slow has made `_most_lines` smaller
        return [Rejection(at, reason) for at, reason in sorted(sieve.rejected.items())]

    def _send(self, lines: Sequence[str], guard: Callable[[], AbstractContextManager[None]]) -> WriteAnswer:
        """Send until InfluxDB has decided: stored, rejected, too large, or too slow with that many lines."""
        data = "\n".join(lines).encode()
        while True:
            self._await_end_of_pause()
            with guard():
                begun_s = self._now_s()
                answer = self._sink.write(data)
                took_s = self._now_s() - begun_s
            if answer.outcome not in _UNDECIDED:
                self._note_decision(answer, len(lines))
                if answer.outcome is WriteOutcome.STORED:
                    self._pace.note(len(lines), took_s)
                return answer
            failures = self._outage.failed(answer, self._now_s())
            self._outage.pause_until(self._now_s() + self._pause_s(answer, failures))
            if answer.outcome is WriteOutcome.SLOW and len(lines) > FEWEST_LINES:
                self._most_lines = max(FEWEST_LINES, len(lines) // 2)
                return answer

    def _await_end_of_pause(self) -> None:
        """Wait, also where another delivery prolongs the pause; after failures of any of them read the token again."""
        until_s = self._outage.paused_until_s
        self._wait(max(0.0, until_s - self._now_s()))
        while self._outage.paused_until_s > until_s:
            until_s = self._outage.paused_until_s
            self._wait(max(0.0, until_s - self._now_s()))
        if self._failures_seen != self._outage.failures_ever:
            self._failures_seen = self._outage.failures_ever
            self._sink.reload_token()

    def _pause_s(self, answer: WriteAnswer, failures: int) -> float:
        if answer.outcome is WriteOutcome.REFUSED:
            return self._refused_pause_s
        if answer.retry_after_s is not None:
            return answer.retry_after_s
        longest = min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311  (jitter)

    def _note_decision(self, answer: WriteAnswer, n: int) -> None:
        self._outage.over(self._now_s())
        if answer.outcome is WriteOutcome.TOO_LARGE:
            self._most_lines = max(1, n // 2)
        elif n == self._most_lines:
            self._most_lines = min(MOST_LINES, n + max(1, n // _GROWTH))
