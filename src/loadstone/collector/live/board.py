"""LiveBoard: the newest run as the live page shows it, handed from the Aggregator's thread to those of the server."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from loadstone.charts.live_data import LivePoints, live_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.run_state import RunState

__all__ = ["FILES", "LiveBoard"]

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
    """Holds one run at a time: the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._run = ""
        self._points = LivePoints()
        self._head: dict[str, Any] = {}
        self._shown_at_s = 0.0

    def show(self, run: str, state: RunState, *, now_ns: int) -> None:
        """Show the newest state of a run, at most once a second. An older run than the one shown is left out."""
        now_s = time.monotonic()
        if run == self._run and now_s - self._shown_at_s < _EVERY_S:
            with self._changed:
                self._points.update(state)
        elif run >= self._run:
            self._shown_at_s = now_s
            self._set(run, state, now_ns, {})

    def close(self, run: str, state: RunState, document: Mapping[str, Any], *, now_ns: int) -> None:
        """Show what a run came to, and where its files are."""
        if run < self._run:
            return
        verdict = {key: document[key] for key in ("verdict", "exit_code", "reasons", "notices")}
        links = [[name, f"runs/{run}/{name}"] for name in FILES]
        self._set(run, state, now_ns, {"state": verdict, "links": links})

    def _set(self, run: str, state: RunState, now_ns: int, more: Mapping[str, Any]) -> None:
        with self._changed:
            if run != self._run:
                self._run, self._points = run, LivePoints()
            self._points.update(state)
            begin = self._points.begin or now_ns // 1_000_000_000
            self._head = {**live_data(run, state, begin=begin, now_ns=now_ns), **more}
            self._changed.notify_all()

    def head(self) -> dict[str, Any]:
        """Everything but the points; empty before the first run."""
        with self._changed:
            return self._head

    def next_message(self, seen: tuple[str, int], last: dict[str, Any], timeout_s: float) -> Message | None:
        """What a page that has ``seen`` (run, number) lacks, once the head is no longer ``last``; None if nothing came.

        A page that saw another run gets all points.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._head) and self._head is not last, timeout_s):
                return None
            after = seen[1] if seen[0] == self._run else 0
            points = self._points.since(after)
            body = {**self._head, "oldest": self._points.oldest, "points": points}
            return Message(self._run, self._points.number, json.dumps(body, separators=(",", ":")), self._head)


class Message:
    """One server-sent event: ``run`` and ``number`` say how far a page is once it has seen it."""

    __slots__ = ("head", "number", "run", "text")

    def __init__(self, run: str, number: int, text: str, head: dict[str, Any]) -> None:
        self.run, self.number, self.text, self.head = run, number, text, head
