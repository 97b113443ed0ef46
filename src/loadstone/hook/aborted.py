"""Aborted requests: those in flight when their user was killed. Locust never reports them, so they are counted here.

This costs a request nothing. When a user is killed, Locust calls its ``on_stop`` while the exception that
killed it is being handled; that exception's traceback tells whether the user was inside a client's request function.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from gevent import GreenletExit
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

from loadstone.lean import REQUEST_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, TracebackType

    from locust import User

__all__ = ["count_aborted"]

_IN_FLIGHT: Final[frozenset[CodeType]] = frozenset(
    {HttpSession._send_request_safe_mode.__code__, FastHttpSession.request.__code__, *REQUEST_CODES}  # noqa: SLF001
)


def count_aborted(user_classes: Iterable[type[User]], count: Callable[[], None]) -> None:
    """Make every user of these classes call ``count`` when it is killed with a request in flight."""
    for user_class in user_classes:
        user_class.on_stop = _watching_on_stop(user_class.on_stop, count)  # type: ignore[method-assign]
        user_class.run = _watching_run(user_class.run, count)  # type: ignore[method-assign, misc]


def _watching_run(run: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    """For users that never reach ``on_stop`` because they have a ``run`` of their own, such as those of pytest."""

    @functools.wraps(run)
    def watched(user: User) -> Any:
        try:
            return run(user)
        except GreenletExit as killed:
            if _was_in_flight(killed.__traceback__):
                count()
            raise

    return watched


def _watching_on_stop(on_stop: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(on_stop)
    def watched(user: User) -> Any:
        if _was_in_flight(sys.exc_info()[2]):
            count()
        return on_stop(user)

    return watched


def _was_in_flight(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if traceback.tb_frame.f_code in _IN_FLIGHT:
            return True
        traceback = traceback.tb_next
    return False
