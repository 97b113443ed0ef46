"""LiveBoard: the newest run as the live page shows it, handed from the Aggregator's thread to that of the server."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loadstone.charts.live_data import LivePoints, live_head
from loadstone.charts.objective_rows import judged_objective
from loadstone.charts.page_data import LiveHead, LiveMessage, ObjectiveRow, VerdictState
from loadstone.domain.time import NS_PER_S
from loadstone.host.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadstone.archive.run_record import RunRecord
    from loadstone.archive.run_state import RunState
    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock

__all__ = ["FILES", "LiveBoard", "Message"]

FILES: Final[Mapping[str, str]] = {
    "report.html": "text/html; charset=utf-8",
    "stats.csv": "text/csv; charset=utf-8",
    "stats_history.csv": "text/csv; charset=utf-8",
    "failures.csv": "text/csv; charset=utf-8",
    "exceptions.csv": "text/csv; charset=utf-8",
    "run.json": "application/json",
}
"""Files of a closed run that are served, and their types."""
_EVERY_S: Final = 1.0


class _Outcome(NamedTuple):
    """What a page shows of a run that is closed, in place of how it stood at last."""

    verdict: VerdictState
    objectives: list[ObjectiveRow]

    def put(self, head: LiveHead) -> LiveHead:
        """The head of the run's page, with the outcome."""
        tables = msgspec.structs.replace(head.tables, objectives=self.objectives)
        links = [(name, f"runs/{head.run}/{name}") for name in FILES]
        return msgspec.structs.replace(head, state=self.verdict, tables=tables, links=links)


class LiveBoard:
    """Holds one run at a time: the newest. Its token tells its numbers from those of a collector before a restart."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._token = secrets.token_hex(4)
        self._clock = clock
        self._lock = threading.Lock()
        self._listener: Callable[[], None] | None = None
        self._points = LivePoints()
        self._live: LiveSnapshot | None = None
        self._head: LiveHead | None = None
        self._due_s = 0.0
        self._made: dict[tuple[str, int], Message] = {}

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change, in the thread that makes it."""
        self._listener = listener

    def show(self, live: LiveSnapshot, state: RunState) -> None:
        """Show the newest state of a run, at most once a second. A run that is older than the one shown is left out."""
        now_s = self._clock.monotonic_s()
        if live.run == self._run and now_s < self._due_s:
            with self._lock:
                self._points.update(state)
        elif live.run >= self._run:
            self._due_s = now_s + _EVERY_S
            self._set(live, state)

    def close(self, live: LiveSnapshot, state: RunState, record: RunRecord) -> None:
        """Show the outcome of a run, given its record, and links to its files."""
        if live.run >= self._run:
            verdict = VerdictState(
                verdict=record.verdict,
                exit_code=record.exit_code,
                reasons=record.reasons,
                notices=record.notices,
            )
            self._set(live, state, _Outcome(verdict, [*map(judged_objective, record.objectives)]))

    def _set(
        self,
        live: LiveSnapshot,
        state: RunState,
        outcome: _Outcome | None = None,
    ) -> None:
        with self._lock:
            if live.run != self._run:
                self._points = LivePoints()
            self._live = live
            self._points.update(state)
            head = live_head(live, state, begin=self._points.begin or live.now_ns // NS_PER_S)
            self._head = outcome.put(head) if outcome else head
        if self._listener is not None:
            self._listener()

    @property
    def _run(self) -> str:
        return self._live.run if self._live else ""

    def live(self) -> LiveSnapshot | None:
        """The snapshot that is shown; None before the first run."""
        with self._lock:
            return self._live

    def head(self) -> LiveHead | None:
        """Everything but the points; None before the first run."""
        with self._lock:
            return self._head

    def message(self, seen: tuple[str, int], last: LiveHead | None) -> Message | None:
        """What a page that has ``seen`` (source, number) lacks; None while the head is still ``last``.

        A page that saw another run, or this one from another board, gets all points. Pages that have seen the same
        share one message. It is encoded while the Aggregator goes on.
        """
        with self._lock:
            head, points = self._head, self._points
            if head is None or head is last:
                return None
            source = f"{self._token}/{self._run}"
            since = seen[1] if seen[0] == source else 0
            made = self._made.get((source, since))
            if made is not None and made.head is head:
                return made
            number, begin, oldest, changed = points.number, points.begin, points.oldest, points.since(since)
        body = LiveMessage(**msgspec.structs.asdict(head), begin=begin, oldest=oldest, points=changed)
        message = Message(source, number, msgspec.json.encode(body), head)
        self._made = {key: other for key, other in self._made.items() if other.head is head}
        self._made[source, since] = message
        return message


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event: ``source`` (board and run) and ``number`` say how far a page is once it has seen it."""

    source: str
    number: int
    text: bytes
    head: LiveHead
