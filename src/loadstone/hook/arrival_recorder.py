"""ArrivalRecorder: the Recorder under the open model, where the first request of an iteration has an intended start."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import gevent
import numpy as np

from loadstone.hook.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from numpy.typing import NDArray

__all__ = ["ArrivalRecorder"]


class ArrivalRecorder(Recorder):
    """Gives each first request, reported by the greenlet that an arrival has woken, the lateness of its iteration.

    ``lateness_us``: by greenlet, as long as nothing has been recorded of its iteration.
    """

    def __init__(self, lateness_us: MutableMapping[Any, int]) -> None:
        super().__init__()
        self._lateness_us = lateness_us
        self._late_rows, self._late = array("q"), array("q")

    def record(self, *args: Any, **kwargs: Any) -> None:
        """See `Recorder.record`."""
        row = len(self._end)
        super().record(*args, **kwargs)
        if len(self._end) > row and (late_us := self._lateness_us.pop(gevent.getcurrent(), None)) is not None:
            self._late_rows.append(row)
            self._late.append(late_us)

    def _lateness(self, n: int) -> NDArray[np.int64]:
        lateness = super()._lateness(n)
        lateness[np.array(self._late_rows, np.int64)] = np.array(self._late, np.int64)
        del self._late_rows[:]
        del self._late[:]
        return lateness
