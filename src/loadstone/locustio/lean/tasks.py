"""Locust's task loop without the detours that cost time when a user does not wait."""

from __future__ import annotations

import random
from types import FunctionType
from typing import TYPE_CHECKING, Any

import gevent
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet

if TYPE_CHECKING:
    from loadstone.locustio.lean.user import LeanHttpUser


class LeanTaskSet(DefaultTaskSet):
    """The root task set of a lean user, driven by Locust's own loop.

    A wait of 0 s is skipped if the task has sent a request: that has let the other greenlets run already.
    """

    def __init__(self, user: LeanHttpUser) -> None:
        super().__init__(user)
        self._lean_user: Any = user
        self._task_queue: Any = []  # Locust's deque takes 0.6 KB for what holds one task, 10,000 times

    def get_next_task(self) -> Any:
        """Choose a task at random by weight; raises as Locust does if there is none."""
        tasks = self._lean_user.tasks
        if len(tasks) == 1:
            return tasks[0]
        return random.choice(tasks) if tasks else super().get_next_task()  # type: ignore[no-untyped-call]  # noqa: S311

    def schedule_task(self, task_callable: Any, first: bool = False) -> None:  # noqa: FBT001, FBT002  # Locust's signature
        """Put a task at the end of the queue, or at its head with `first`."""
        self._task_queue.insert(0 if first else len(self._task_queue), task_callable)

    def execute_next_task(self) -> None:
        """Run the task at the head of the queue."""
        task = self._task_queue.pop(0)
        if type(task) is FunctionType:
            task(self._lean_user)
        else:
            self.execute_task(task)  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Sleep for the user's wait time in seconds; raises StopUser when the user is to stop."""
        user = self._lean_user
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001  # Locust's own task set reads it too
            raise StopUser
        seconds = user.wait_time() if user.wait_time else self.wait_time()  # type: ignore[no-untyped-call]
        if seconds <= 0 and user.client.switched:
            user.client.switched = False
            return
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        self._sleep(seconds)
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
            raise StopUser
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001

    def _sleep(self, seconds: float) -> None:
        """Sleep without the two C frames of `gevent.sleep` and its waiter: 0.7 KB for each user that waits."""
        if seconds <= 0:
            gevent.sleep(0)
            return
        hub = gevent.get_hub()
        timer = hub.loop.timer(seconds)
        try:
            timer.start(gevent.getcurrent().switch)
            hub.switch()
        finally:
            timer.stop()
            timer.close()
