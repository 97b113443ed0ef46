"""Doubles for tests of launch and compose: processes that are only recorded, a script in virtual time, Redis, a view.

Real processes are started in `tests/processes/launch/test_managed_process.py` and in `tests/processes/runs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess, ReservedPorts
from loadstone.settings import HookSettings, load
from support.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadstone.domain.event import Event
    from loadstone.domain.live import LiveSnapshot, Trouble

FOREVER_S = 5_000.0


class FakeProcess(ManagedProcess):
    """Stands for a child process: it runs from `start` until the test, a signal or its machine ends it."""

    machine: FakeMachine
    code: int | None = None
    running: bool = False
    ignores_sigterm: bool = False

    def start(self) -> None:
        """Record the start; fail where the machine says so."""
        self.machine.record.append(f"start {self.name}")
        if self.name in self.machine.cannot_start:
            raise PlatformError(f"{self.name} could not be started: no such file")
        self.running, self.code = True, None
        if self.name == "usage":
            Path(self.env["LOADSTONE_HEARTBEAT_FILE"]).touch()
        if self.name in self.machine.ends_at_once:
            self.exit(self.machine.ends_at_once[self.name])

    @property
    def exit_code(self) -> int | None:
        """See `ManagedProcess`."""
        return self.code

    @property
    def alive(self) -> bool:
        """See `ManagedProcess`."""
        return self.running

    @property
    def hidden_arguments(self) -> tuple[str, ...]:
        """What Locust gets as arguments without its command line showing them."""
        return load(HookSettings, environ=self.env).locust_arguments or ()

    @property
    def hook_settings(self) -> HookSettings:
        """The settings of the hook in a Locust process."""
        return load(HookSettings, environ=self.env)

    @property
    def is_held(self) -> bool:
        """Whether a Locust process waits until it is let go."""
        return self.hook_settings.held_until is not None

    def exit(self, code: int) -> None:
        """End by itself."""
        self.running, self.code = False, code

    def terminate(self) -> None:
        """Record the signal and end, unless the test says that it is ignored."""
        if self.running:
            self.machine.record.append(f"terminate {self.name}")
            if not self.ignores_sigterm:
                self.exit(0)

    def stop(self) -> None:
        """End whatever happens, and record that."""
        self.machine.record.append(f"stop {self.name}")
        if self.running:
            self.exit(-9)

    def tail(self) -> str:
        """The last line of its log."""
        return f"last line of {self.name}"


@dataclass
class FakeMachine:
    """Makes fake processes, and records in order what is done to them."""

    clock: FakeClock = field(default_factory=FakeClock)
    record: list[str] = field(default_factory=list)
    processes: dict[str, FakeProcess] = field(default_factory=dict)
    cannot_start: set[str] = field(default_factory=set)
    ends_at_once: dict[str, int] = field(default_factory=dict)

    def make(self, **options: Any) -> FakeProcess:
        """Stand for `ManagedProcess` as the thing that makes processes."""
        process = FakeProcess(**options, monotonic_s=lambda: self.clock.monotonic_s)
        process.machine = self
        self.processes[process.name] = process
        return process

    def started(self) -> list[str]:
        """Names of the processes in the order of their starts."""
        return [line.removeprefix("start ") for line in self.record if line.startswith("start ")]


@dataclass
class Script:
    """What happens while the program under test sleeps, in virtual time: actions at seconds from the beginning."""

    clock: FakeClock
    passed_s: float = 0.0
    actions: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something at that second."""
        self.actions.append((seconds, action))

    def sleep(self, seconds: float) -> None:
        """Stand for `time.sleep`; fails when the program under test would wait forever."""
        self.clock.advance(seconds)
        self.passed_s += seconds
        assert self.passed_s < FOREVER_S, "it waits forever"
        for due_s, action in [each for each in self.actions if each[0] <= self.passed_s]:
            self.actions.remove((due_s, action))
            action()


class FakeChannel:
    """Stands for Redis as the supervisor sees it; with ``available`` False every command fails."""

    def __init__(self) -> None:
        self.live: Any = None
        self.earlier_closed = True
        self.published: list[Event] = []
        self.available = True
        self.events_read = True
        self.drained = True
        self.refused = self.start_is_refused = ""

    def read_live(self, _launch: str) -> Any:
        """See `RunChannel`."""
        self._check()
        return self.live

    def all_closed(self, _launch: str) -> bool:
        """See `RunChannel`."""
        self._check()
        return self.earlier_closed and self.live.closed

    def publish(self, event: Event) -> None:
        """See `RunChannel`."""
        self._check()
        self.published.append(event)

    def all_events_read(self) -> bool:
        """See `RunChannel`."""
        self._check()
        return self.events_read

    def points_drained(self, _run: str) -> bool:
        """See `RunChannel`."""
        self._check()
        return self.drained

    def refusal(self) -> str:
        """See `RunChannel`."""
        self._check()
        return self.refused

    def start_refused(self, _launch: str) -> str:
        """See `RunChannel`."""
        self._check()
        return self.start_is_refused

    def _check(self) -> None:
        if not self.available:
            raise redis.ConnectionError("the double is away")


class RecordingView:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lives: list[LiveSnapshot] = []
        self.shown: list[float | None] = []
        self.warned: list[list[Trouble]] = []

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """See `View`."""
        self.lives.append(live)
        self.shown.append(ends_in_s)

    def note(self, text: str) -> None:
        """See `View`."""
        self.notes.append(text)

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """See `View`."""
        if list(troubles) != (self.warned[-1] if self.warned else []):
            self.warned.append(list(troubles))


class FakePorts(ReservedPorts):
    """Stands for `ReservedPorts` where nothing listens: numbers that no socket holds."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 20_000

    def reserve(self, bind: str) -> int:
        self._next += 1
        return self._next
