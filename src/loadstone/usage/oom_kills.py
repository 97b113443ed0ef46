"""Out-of-memory kills of containers, counted from what the Docker Engine reports.

API 1.41 (Engine 20.10) or newer: https://docs.docker.com/reference/api/engine/version/v1.41/, "Monitor events".
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.time import NS_PER_S
from loadstone.usage.docker_engine import API, filters, loaded, name_of
from loadstone.usage.reading import SourceError, lines_from_socket
from loadstone.usage.unreported_kills import UnreportedKills

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OomKills"]

_SILENT_S: Final = 90.0
_OVERLAP_S: Final = 2.0
_MOST_SEEN: Final = 10_000
_AGAIN_AFTER_S: Final = 1.0

log = logging.getLogger("loadstone.usage")


class OomKills:
    """Counts out-of-memory kills of a project's containers, from the engine's events, from now on.

    Counters in a control group die with it, and a container that is restarted gets a new one: of 35 kills 15 were seen
    there. The engine reports kills, also of a container that lives on, but remembers only its newest 256 events, so a
    thread listens all the time: ``listens`` is whether it does, ``problem`` why it cannot. `UnreportedKills` finds what
    the engine misses. Kills of the same instant inside one container may be reported as one where control groups are of
    version 2.
    """

    def __init__(self, socket: Path, project: str | None) -> None:
        self._socket = socket
        self._filters = filters(project, event=["oom", "kill", "die"])
        self._begun_ns = self._told_until_ns = time.time_ns()
        self._lock = threading.Lock()
        self._kills: Counter[tuple[str, str]] = Counter()
        self._unreported = UnreportedKills()
        self._seen: deque[tuple[str, str, int]] = deque(maxlen=_MOST_SEEN)
        self._ended = threading.Event()
        self.problem = ""
        self.listens = False
        threading.Thread(target=self._listen, name="oom", daemon=True).start()

    def take(self) -> Counter[tuple[str, str]]:
        """Kills since the last call, by service and container."""
        with self._lock:
            for name in self._unreported.take() if self.listens else ():
                self._kills[name] += 1
                log.warning("oom_kill=unreported container=%r", name[1])
            kills, self._kills = self._kills, Counter()
        return kills

    def close(self) -> None:
        """Stop listening, at the latest with the next event."""
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except (
                SourceError,
                AttributeError,
                TypeError,
                ValueError,
            ) as error:  # the latter: an event of another form
                self.problem = str(error)
            self.listens = False
            self._ended.wait(_AGAIN_AFTER_S)

    def _follow(self) -> None:
        """Count what is told until the connection ends; what was told before it is told once more and not counted."""
        since_s = self._told_until_ns / NS_PER_S - _OVERLAP_S
        path = f"{API}/events?since={since_s:.3f}&{self._filters}"
        for line in lines_from_socket(self._socket, path, _SILENT_S):
            self.problem, self.listens = "", True
            if self._ended.is_set():
                return
            if line.strip():
                self._count(loaded(line.decode(errors="replace")))

    def _count(self, event: dict[str, Any]) -> None:
        about = event.get("Actor") or {}
        container, action, at_ns = str(about.get("ID")), str(event.get("Action")), int(event.get("timeNano") or 0)
        self._told_until_ns = max(self._told_until_ns, min(at_ns, time.time_ns()))
        if (container, action, at_ns) in self._seen or at_ns < self._begun_ns:
            return
        self._seen.append((container, action, at_ns))
        labels = about.get("Attributes") or {}
        with self._lock:
            if action == "oom" and self._unreported.killed(container):
                self._kills[name_of(labels)] += 1
                log.warning("oom_kill=yes container=%r", labels.get("name"))
            elif action == "kill":
                self._unreported.asked(container)
            elif action == "die":
                self._unreported.ended(container, name_of(labels), str(labels.get("exitCode")))
