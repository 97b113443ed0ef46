"""Rebalancer: users of workers that left are given to those that stayed.

Locust does so itself when one worker leaves. When several leave at once, as `--scale` makes them, it starts to
distribute for the first one and forgets the others: of 400 users on 8 workers 228 were left when 4 were stopped
(Locust 2.47). So once the workers that left are settled, the master is asked to distribute once more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING

if TYPE_CHECKING:
    from locust.runners import MasterRunner

__all__ = ["Rebalancer"]

_SETTLED_AFTER: Final = 3
"""Looks without another loss; with one a second users are back well within ten seconds."""
log = logging.getLogger("loadstone.master")


class Rebalancer:
    """Looks once a second. Users that ended by themselves are not started again: it acts once after a loss."""

    def __init__(self) -> None:
        self._looks_left = 0

    def look(self, runner: MasterRunner, *, lost: bool) -> None:
        """``lost``: whether a worker was lost since the last look."""
        if lost:
            self._looks_left = _SETTLED_AFTER
        elif self._looks_left and runner.state != STATE_SPAWNING:
            self._looks_left -= 1
            if self._looks_left == 0:
                self._distribute(runner)

    def _distribute(self, runner: MasterRunner) -> None:
        missing = runner.target_user_count - runner.user_count
        steered_by_shape = runner.environment.shape_class is not None
        if runner.state == STATE_RUNNING and missing > 0 and runner.worker_count and not steered_by_shape:
            log.warning("users_missing=%d workers=%d action='distribute again'", missing, runner.worker_count)
            gevent.spawn(runner.start, runner.target_user_count, runner.spawn_rate)
