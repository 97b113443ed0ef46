"""Users that wait for an arrival, instead of for a time: what makes any scenario an open model.

Under the open model a user waits where it would sleep for its wait time after a task, and before its first task. An
arrival wakes one, which then runs its next task: one iteration. `wait` called by the scenario itself, within a task, is
think time and sleeps as always.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, TaskSet

from loadstone.domain.time import NS_PER_US
from loadstone.lean.user import LeanTaskSet

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from locust import User

__all__ = ["WaitingUsers", "make_users_wait"]

_LOOP: Final = TaskSet.run.__code__
_open: WaitingUsers | None = None
"""Those of the run in progress; None under the closed model."""
_replaced: list[tuple[type[Any], str, Any]] = []
"""Functions that are replaced for this run: class, name, and what the class itself had there; None: it inherits it."""


def make_users_wait(users: WaitingUsers | None, user_classes: Iterable[type[User]] = ()) -> None:
    """Let all users of this process wait for arrivals from now on; None: for times again, as Locust has it."""
    global _open  # noqa: PLW0603  (Locust's classes are global too)
    _open = users
    while _replaced:
        owner, name, before = _replaced.pop()
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
    if users is not None:
        for kind in (TaskSet, LeanTaskSet):
            _replace(kind, "wait", _waiting_in_loop)
        for user_class in user_classes:
            _replace(user_class, "on_start", functools.partial(_waiting_at_start, user_class))
            _replace(user_class, "run", _counted)


def _replace(owner: type[Any], name: str, replaced: Callable[[Any], Any]) -> None:
    """Replace a function of a class, which may inherit it, until the run is over."""
    _replaced.append((owner, name, vars(owner).get(name)))
    setattr(owner, name, replaced(getattr(owner, name)))


def _waiting_in_loop(wait: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(wait)
    def waiting(task_set: Any) -> None:
        if _open is None or sys._getframe(1).f_code is not _LOOP:  # noqa: SLF001
            wait(task_set)
        else:
            _open.wait(task_set.user)

    return waiting


def _waiting_at_start(user_class: type[User], on_start: Callable[[Any], None]) -> Callable[[Any], None]:
    """``on_start``, after which users wait; those of a class that inherits it, after their own."""

    @functools.wraps(on_start)
    def waiting(user: User) -> None:
        on_start(user)
        if _open is not None and type(user) is user_class:
            with suppress(StopUser):  # Locust looks before the first task, too, and says nothing of it there
                _open.wait(user)

    return waiting


def _counted(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``run``, after which users are no longer counted."""

    @functools.wraps(run)
    def counted(user: User) -> Any:
        users = _open
        try:
            return run(user)
        finally:
            if users is not None:
                users.ends(user)

    return counted


class WaitingUsers:
    """The users of this process that wait for an arrival, by class: whoever has waited longest is woken first.

    ``lateness_us``: by greenlet, how late the iteration began whose first request has not been recorded yet.
    """

    def __init__(self) -> None:
        self.lateness_us: dict[Any, int] = {}
        self._waiting: dict[type[User], deque[Any]] = {}
        self._settled: dict[type[User], dict[Any, bool]] = {}
        """Greenlets of users that have waited and not ended, and whether they were started with arguments."""
        self._hub = gevent.get_hub()

    @property
    def settled(self) -> int:
        """How many users have waited for an arrival, and have not ended since."""
        return sum(map(len, self._settled.values()))

    def wake(self, due_ns: int, choices: random.Random) -> bool:
        """Let a user begin the iteration that is due (perf_counter, ns); False if none of the chosen class waits.

        Only the loop's own greenlet may call it: it comes back when the user first waits, for whatever it is, or ends.
        """
        chosen = self._chosen(choices)
        waiting, settled = self._waiting.get(chosen), self._settled.get(chosen, {})
        while waiting:
            greenlet = waiting.popleft()
            had_arguments = settled.get(greenlet)
            if had_arguments is None or (had_arguments and not greenlet.args):
                continue  # it has ended, or is being killed: gevent takes the arguments away at once
            greenlet.switch(due_ns)
            return True
        return False

    def wait(self, user: User) -> None:
        """Wait for an arrival. Raises `StopUser` when the user is to stop."""
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001  (as Locust's own waiting)
            raise StopUser
        greenlet, kind = gevent.getcurrent(), type(user)
        self.lateness_us.pop(greenlet, None)
        self._settled.setdefault(kind, {})[greenlet] = bool(getattr(greenlet, "args", ()))
        self._waiting.setdefault(kind, deque()).append(greenlet)
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        try:
            due_ns = self._hub.switch()
        except BaseException:
            self._settled[kind].pop(greenlet, None)  # it may still be busy in on_stop, where nobody may wake it
            raise
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
        self.lateness_us[greenlet] = max(0, time.perf_counter_ns() - due_ns) // NS_PER_US

    def ends(self, user: User) -> None:
        """A user has ended, here in its own greenlet; if it waits, nobody wakes it any more."""
        greenlet = gevent.getcurrent()
        self.lateness_us.pop(greenlet, None)
        self._settled.get(type(user), {}).pop(greenlet, None)

    def _chosen(self, choices: random.Random) -> Any:
        """A class of users, by how many of them there are: their weights are in that already."""
        if len(self._settled) == 1:
            return next(iter(self._settled))
        classes, counts = list(self._settled), [len(each) for each in self._settled.values()]
        return choices.choices(classes, counts)[0] if any(counts) else None
