"""Locust's task loop without the detours that cost time when a user does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet

if TYPE_CHECKING:
    from loadstone.locustio.lean.user import LeanHttpUser


class LeanTaskSet(DefaultTaskSet):
    """The root task set of a lean user: a wait of 0 s is skipped if the task has let other greenlets run anyway."""

    def __init__(self, user: LeanHttpUser) -> None:
        super().__init__(user)
        self._lean_user = user

    def wait(self) -> None:
        """Sleep for the user's wait time, 0 s or less included; raises StopUser when the user is to stop."""
        user: Any = self._lean_user
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001  # Locust's own task set reads it too
            raise StopUser
        seconds: float = self.wait_time()  # type: ignore[no-untyped-call]
        if seconds <= 0 and user.client.switched:
            user.client.switched = False
            return
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        gevent.sleep(max(0.0, seconds))
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
            raise StopUser
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
