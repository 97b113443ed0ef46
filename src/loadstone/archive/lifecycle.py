"""Lifecycle: what the events of a run say lifecycle it, whatever order they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.event import EventKind
from loadstone.domain.facts import Window
from loadstone.domain.text import mask_secrets, mask_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.event import Event

__all__ = ["EXCEPTION_LIMIT", "Lifecycle", "UserException"]

EXCEPTION_LIMIT: Final = 1000
"""How many different exceptions of user code are told apart; further ones are counted under `_MORE`."""

_MORE: Final = ("further exceptions", "")
_NS: Final = 1_000_000_000
_FROM_MASTER: Final = frozenset(
    {
        EventKind.STARTED,
        EventKind.ROSTER,
        EventKind.USERS,
        EventKind.RAMP_DONE,
        EventKind.STAGE,
        EventKind.WORKER_JOINED,
        EventKind.WORKER_LOST,
        EventKind.STOPPING,
        EventKind.STOPPED,
    }
)


class UserException:
    """How often one exception was raised by user code, and on which workers."""

    __slots__ = ("count", "nodes")

    def __init__(self) -> None:
        self.count = 0
        self.nodes: dict[str, None] = {}


class Lifecycle:
    """The fold of a run's events. Times are wall clock, ns, None before they are known.

    ``identity`` is the data of the event `started`. ``roster``: workers that were told to spawn users. ``lost_at_ns``:
    when the master missed a worker. ``exceptions``: by message and traceback. ``crashed``: exit code of each part of
    the platform that ended by itself and was not started again.
    """

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        self.started_ns: int | None = None
        self.ramp_done_ns: int | None = None
        self.stopping_ns: int | None = None
        self.stopped_ns: int | None = None
        self.master_ns = 0
        self.newest_ns = 0
        self.locust_totals: dict[str, int] | None = None
        self.users = self.target_users = self.workers = self.users_peak = 0
        self._users_ns = 0
        self.users_moved = True
        self.roster: set[int] = set()
        self.joined_ns: dict[int, int] = {}
        self.lost_at_ns: dict[int, int] = {}
        self.target_exited: dict[str, Any] | None = None
        self.target_exited_ns: int | None = None
        self.interrupted = False
        self.orphaned: set[int] = set()
        self.crashed: dict[str, int | None] = {}
        self.restarted: dict[str, int] = {}
        self.names_capped = False
        self.exceptions: dict[tuple[str, str], UserException] = {}

    def apply(self, event: Event) -> None:
        """Take in one event that was not seen before."""
        self.newest_ns = max(self.newest_ns, event.at_ns)
        if event.kind in _FROM_MASTER:
            self.master_ns = max(self.master_ns, event.at_ns)
        handler: Callable[[Event], None] | None = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event)

    @property
    def warmup_ns(self) -> int:
        """How long after the ramp the window opens."""
        warmup_s = self.identity.get("warmup_s")
        return int(warmup_s * _NS) if isinstance(warmup_s, int | float) else 0

    def window(self, first_ns: int, last_ns: int) -> Window:
        """The window, given when the run's first sample started and its last one ended."""
        end_ns = self.stopping_ns or self.stopped_ns or last_ns + 1
        if self.ramp_done_ns is None or self.ramp_done_ns > end_ns:
            return Window(self.started_ns or first_ns, max(end_ns, last_ns + 1), opened=False)
        return Window(self.ramp_done_ns + self.warmup_ns, end_ns)

    def _on_started(self, event: Event) -> None:
        self.identity = mask_values(event.data)
        self.started_ns = event.at_ns

    def _on_roster(self, event: Event) -> None:
        self.roster.update(_whole_numbers(event.data.get("workers")))

    def _on_users(self, event: Event) -> None:
        if event.at_ns < self._users_ns:
            return
        self._users_ns = event.at_ns
        self.users = _number(event.data, "users")
        self.target_users = _number(event.data, "target_users")
        self.workers = _number(event.data, "workers")
        self.users_peak = max(self.users_peak, self.users)
        if self.stopping_ns is None and self.users >= self.target_users:
            self.users_moved = True

    def _on_ramp_done(self, event: Event) -> None:
        self.ramp_done_ns = min(self.ramp_done_ns or event.at_ns, event.at_ns)

    def _on_worker_joined(self, event: Event) -> None:
        worker = _number(event.data, "worker", -1)
        self.roster.add(worker)
        self.joined_ns.setdefault(worker, event.at_ns)
        self.lost_at_ns.pop(worker, None)

    def _on_worker_lost(self, event: Event) -> None:
        self.lost_at_ns[_number(event.data, "worker", -1)] = event.at_ns
        self.users_moved = False

    def _on_stopping(self, event: Event) -> None:
        self.stopping_ns = min(self.stopping_ns or event.at_ns, event.at_ns)

    def _on_stopped(self, event: Event) -> None:
        self.stopped_ns = event.at_ns
        self.locust_totals = {key: _number(event.data, key) for key in ("requests", "failures")}

    def _on_exception(self, event: Event) -> None:
        key = (mask_secrets(str(event.data.get("message", ""))), mask_secrets(str(event.data.get("traceback", ""))))
        if key not in self.exceptions and len(self.exceptions) >= EXCEPTION_LIMIT:
            key = _MORE
        found = self.exceptions.setdefault(key, UserException())
        found.count += _number(event.data, "count", 1)
        found.nodes[str(event.data.get("node", event.data.get("worker", "")))] = None

    def _on_orphaned(self, event: Event) -> None:
        self.orphaned.add(_number(event.data, "worker", -1))

    def _on_target_exited(self, event: Event) -> None:
        self.target_exited = event.data
        self.target_exited_ns = event.at_ns

    def _on_interrupted(self, _event: Event) -> None:
        self.interrupted = True

    def _on_crashed(self, event: Event) -> None:
        code = event.data.get("code")
        self.crashed[str(event.data.get("part", ""))] = code if isinstance(code, int) else None

    def _on_restarted(self, event: Event) -> None:
        part = str(event.data.get("part", ""))
        self.crashed.pop(part, None)
        self.restarted[part] = self.restarted.get(part, 0) + 1

    def _on_names_capped(self, _event: Event) -> None:
        self.names_capped = True


def _number(data: dict[str, Any], key: str, default: int = 0) -> int:
    value = data.get(key)
    return int(value) if isinstance(value, int | float) else default


def _whole_numbers(value: Any) -> set[int]:
    return {item for item in value if isinstance(item, int)} if isinstance(value, list) else set()
