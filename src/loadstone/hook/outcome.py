"""RunOutcome: what exit code Locust gives a run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from locust import log as locust_log
from locust.runners import WorkerRunner
from msgspec.structs import replace

from loadstone.domain.event import Exited

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["RunOutcome"]

_RAISED: Final = 2
"""Locust's exit code after an exception that no task raised."""
_ON_ERROR: Final = 1
_BYTE: Final = 0xFF


class RunOutcome:
    """The exit code of a Locust process as a judgement of its run, with its causes.

    Locust judges once, when its process ends. In a process that goes on to other runs each of them is judged by what
    has come up since it began: what Locust remembered before is put aside, and given back to it at its end.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._code_before: Any = None
        self._raised_before = False
        self._code_on_error: int | None = None

    def begin(self, *, only_run: bool, code_on_error: int | None = None) -> None:
        """A run begins; ``only_run``: the process ends with it. ``code_on_error``: in place of Locust's own option."""
        self._code_on_error = code_on_error
        if only_run:
            return
        if self._environment.process_exit_code is not None:
            self._code_before, self._environment.process_exit_code = self._environment.process_exit_code, None
        self._raised_before |= locust_log.unhandled_greenlet_exception
        locust_log.unhandled_greenlet_exception = False

    def give_back(self) -> None:
        """The process ends: let Locust judge by all of its runs."""
        if self._environment.process_exit_code is None:
            self._environment.process_exit_code = self._code_before
        locust_log.unhandled_greenlet_exception |= self._raised_before

    def now(self) -> Exited:
        """The exit code if the process ended now. What requests and tasks did is for the master to judge."""
        environment, runner = self._environment, self._environment.runner
        chosen, raised = environment.process_exit_code, bool(locust_log.unhandled_greenlet_exception)
        if runner is None or isinstance(runner, WorkerRunner):
            code, failures, exceptions = 0, 0, 0
        else:
            failures = sum(error.occurrences for error in runner.errors.values())
            exceptions = sum(row["count"] for row in runner.exceptions.values())
            code = getattr(environment.parsed_options, "exit_code_on_error", _ON_ERROR)
            code = code if self._code_on_error is None else self._code_on_error
        if chosen is not None:
            code = chosen
        elif not (failures or exceptions):
            code = _RAISED if raised else 0
        return Exited(
            code=_status(code), chosen=chosen is not None, failures=failures, exceptions=exceptions, raised=raised
        )

    def at_exit(self, exit_code: object) -> Exited:
        """How the process ends, with the code that Locust gave: it decides before its workers' last reports come."""
        exited, code = self.now(), _status(exit_code)
        return replace(exited, code=code, chosen=exited.chosen and exited.code == code)


def _status(code: object) -> int:
    """What the parent of a process sees of an argument of ``sys.exit``."""
    if code is None:
        return 0
    return int(code) & _BYTE if isinstance(code, int) else 1
