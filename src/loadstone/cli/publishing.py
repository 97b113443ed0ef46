"""The points of a study that goes on, in InfluxDB: after each trial where one is named, and at the end in the stack."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Final

from loadstone.capacity.influx_points import study_lines
from loadstone.errors import LoadstoneError, PlatformError
from loadstone.influx.answer import WriteOutcome
from loadstone.influx.client import InfluxClient
from loadstone.rig.docker import Docker
from loadstone.rig.replica import replicas_of
from loadstone.rig.stack_parts import stack_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.capacity.study_record import AnswerRecord, StudyRecord
    from loadstone.settings import CapacitySettings

__all__ = ["publisher"]

_COMMAND: Final = ("loadstone", "influx", "study")
_COLLECTOR: Final = "collector"
_IN_CONTAINER: Final = ("python", "-P", "-m", *_COMMAND)
"""The image has no program of the name; the results are in the folder in which it starts."""
_WITHIN_S: Final = 90.0
"""Longer than the command's own patience."""


def publisher(
    settings: CapacitySettings, note: Callable[[str], object], docker: Docker | None = None
) -> Callable[[StudyRecord], object]:
    """What publishes a study each time that it was written down. It raises nothing."""
    if settings.stack:
        return _Stack(note, docker or Docker())
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
    """Only the collector reaches the stack's InfluxDB: it is asked to write the study once that has its answer.

    Where its container cannot be reached, a note says how to do it.
    """

    def __init__(self, note: Callable[[str], object], docker: Docker) -> None:
        self._note, self._docker = note, docker
        self._answer: AnswerRecord | None = None

    def __call__(self, study: StudyRecord) -> None:
        """See `publisher`."""
        if study.answer is None or study.answer == self._answer:
            return
        self._answer = study.answer
        try:
            self._write(study.id)
        except LoadstoneError as error:
            command = shlex.join(("docker", "compose", "exec", "collector", *_IN_CONTAINER, study.id))
            self._note(f"the stack's InfluxDB has no trials of this study: {error}; `{command}` writes them")
        else:
            self._note("the study is on the board Capacity study")

    def _write(self, study: str) -> None:
        project = stack_files(self._docker).project
        running = [each.id for each in replicas_of(self._docker, project, _COLLECTOR) if each.runs]
        if not running:
            raise PlatformError("the stack's collector is not running")
        self._docker.call("exec", running[0], *_IN_CONTAINER, study, within_s=_WITHIN_S)
