"""Being asked to stop: SIGINT and SIGTERM set a flag that loops look at."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["StopFlag"]


class StopFlag:
    """How often this process was asked to stop since `install`."""

    def __init__(self) -> None:
        self.count = 0

    @classmethod
    def install(cls) -> StopFlag:
        """A flag that SIGINT, SIGTERM and SIGHUP raise from now on."""
        flag = cls()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, flag._raise)
        return flag

    def __call__(self) -> bool:
        """Whether this process was asked to stop."""
        return self.count > 0

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
