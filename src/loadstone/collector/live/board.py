"""LiveBoard: the newest run as the live page shows it, handed from the Aggregator's thread to those of the server."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.charts.live_data import LivePoints, live_head
from loadstone.charts.page_data import LiveHead, LiveMessage, VerdictState
from loadstone.domain.time import NS_PER_S
from loadstone.host.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class LiveBoard:
    """Holds one run at a time: the newest. Its token tells its numbers from those of a collector before a restart."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._token = secrets.token_hex(4)
        self._clock = clock
        self._changed = threading.Condition()
        self._points = LivePoints()
        self._live: LiveSnapshot | None = None
        self._head: LiveHead | None = None
        self._due_s = 0.0

    def show(self, live: LiveSnapshot, state: RunState) -> None:
        """Show the newest state of a run, at most once a second. A run that is older than the one shown is left out."""
        now_s = self._clock.monotonic_s()
        if live.run == self._run and now_s < self._due_s:
            with self._changed:
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
            self._set(live, state, verdict, [(name, f"runs/{live.run}/{name}") for name in FILES])

    def _set(
        self,
        live: LiveSnapshot,
        state: RunState,
        verdict: VerdictState | None = None,
        links: list[tuple[str, str]] | None = None,
    ) -> None:
        with self._changed:
            if live.run != self._run:
                self._points = LivePoints()
            self._live = live
            self._points.update(state)
            head = live_head(live, state, begin=self._points.begin or live.now_ns // NS_PER_S)
            self._head = msgspec.structs.replace(head, state=verdict or head.state, links=links or [])
            self._changed.notify_all()

    @property
    def _run(self) -> str:
        return self._live.run if self._live else ""

    def live(self) -> LiveSnapshot | None:
        """The snapshot that is shown; None before the first run."""
        with self._changed:
            return self._live

    def head(self) -> LiveHead | None:
        """Everything but the points; None before the first run."""
        with self._changed:
            return self._head

    def next_message(self, seen: tuple[str, int], last: LiveHead | None, timeout_s: float) -> Message | None:
        """What a page that has ``seen`` (source, number) lacks, as soon as the head is not ``last``; None if it stays.

        A page that saw another run, or this one from another board, gets all points.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._head is not last, timeout_s) or self._head is None:
                return None
            source = f"{self._token}/{self._run}"
            points = self._points.since(seen[1] if seen[0] == source else 0)
            fields = msgspec.structs.asdict(self._head)
            body = LiveMessage(**fields, begin=self._points.begin, oldest=self._points.oldest, points=points)
            text = msgspec.json.encode(body).decode()
            return Message(source, self._points.number, text, self._head)


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event: ``source`` (board and run) and ``number`` say how far a page is once it has seen it."""

    source: str
    number: int
    text: str
    head: LiveHead
