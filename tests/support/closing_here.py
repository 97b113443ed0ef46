"""Finalizers that close runs in the process of the test: the same work, without half a second of CPU for each start."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, cast

import msgspec

from loadstone.collector import finalizer
from loadstone.collector.finalizer import Finalizer, FinalizerOrder

if TYPE_CHECKING:
    from loadstone.archive.folder import RunFolder
    from loadstone.domain.time import Clock

__all__ = ["close_here"]


class _Here:
    """A double of the process, which does its work when it is first asked whether it has ended."""

    stdin = None

    def __init__(self, order: FinalizerOrder) -> None:
        self.pid = os.getpid()
        self.stdout = io.BytesIO()
        self._order = order

    def poll(self) -> int:
        self.stdout = io.BytesIO(msgspec.json.encode(finalizer._carry_out(self._order)))
        return 0

    def kill(self) -> None:
        """Nothing runs between two steps of a test."""

    def wait(self) -> int:
        return 0


class _FinalizerHere(Finalizer):
    def _start(self) -> None:
        self._process = cast("Any", _Here(self._order))


def close_here(redis_url: str, holder: str, clock: Clock, folder: RunFolder) -> Finalizer:
    """As `loadstone.collector.service.start_finalizer`, for tests of what happens before and after."""
    order = FinalizerOrder(redis_url=redis_url, path=str(folder.path), closed_at_ns=clock.now_ns(), holder=holder)
    return _FinalizerHere(order, clock)
