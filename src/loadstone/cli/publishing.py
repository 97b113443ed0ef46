"""The points of a study that goes on: they are written to InfluxDB after each trial, if one is named."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Final

from loadstone.capacity.influx_points import study_lines
from loadstone.errors import LoadstoneError
from loadstone.influx.answer import WriteOutcome
from loadstone.influx.client import InfluxClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.capacity.study_record import StudyRecord
    from loadstone.settings import CapacitySettings

__all__ = ["publisher"]

_COMMAND: Final = ("loadstone", "influx", "study")
_IN_STACK: Final = ("docker", "compose", "exec", "collector", *_COMMAND)
_RESULTS_IN_STACK: Final = "/data/results"


def publisher(settings: CapacitySettings, note: Callable[[str], object]) -> Callable[[StudyRecord], object]:
    """What publishes a study each time that it was written down."""
    if settings.stack:
        return _Stack(note)
    return _Influx(settings, note) if settings.influx_url else lambda _study: None


class _Influx:
    """Writes all points of the study that are new. A failure is noted, once for each cause, and ends nothing."""

    def __init__(self, settings: CapacitySettings, note: Callable[[str], object]) -> None:
        self._settings, self._note = settings, note
        self._stored: frozenset[str] = frozenset()
        self._told = ""

    def __call__(self, study: StudyRecord) -> None:
        """One try: what is not stored now is written with the next trial."""
        lines = study_lines(study, self._settings.results)
        new = [line for line in lines if line not in self._stored]
        problem = self._write(new) if new else ""
        if not problem:
            self._stored = frozenset(lines)
        elif problem != self._told:
            command = shlex.join((*_COMMAND, study.id, "--results", str(self._settings.results)))
            cure = f"`{command}`, with the same options for InfluxDB, writes them later"
            self._note(f"InfluxDB did not take the trials: {problem}; {cure}")
        self._told = problem

    def _write(self, lines: list[str]) -> str:
        """Why InfluxDB did not take these lines; empty if it did."""
        try:
            client = InfluxClient(self._settings, now_s=time.time)
        except LoadstoneError as error:  # such as a token file that has gone
            return str(error)
        try:
            answer = client.write("\n".join(lines).encode())
        finally:
            client.close()
        return "" if answer.outcome is WriteOutcome.STORED else answer.reason


class _Stack:
    """Only the collector reaches the stack's InfluxDB: says once, with the answer, how to let it write the study."""

    def __init__(self, note: Callable[[str], object]) -> None:
        self._note = note
        self._is_told = False

    def __call__(self, study: StudyRecord) -> None:
        """See `publisher`."""
        if study.answer is not None and not self._is_told:
            self._is_told = True
            command = shlex.join((*_IN_STACK, study.id, "--results", _RESULTS_IN_STACK))
            self._note(f"`{command}` puts it on the board Capacity study")
