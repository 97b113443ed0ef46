"""StatsLog: what scenarios write into Locust's statistics themselves, without a request event.

Locust counts a request event by calling ``log_request`` and ``log_error`` of its statistics, and scenarios call the
same two functions directly. To tell both apart, Locust's own listener is replaced by an equal one that calls the
functions as they were, and in their place stand functions that also record the call.
"""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gevent.local import local

from loadstone.lean import LeanHttpUser
from loadstone.lean.reporting import quicken

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.event import EventHook

    from loadstone.hook.recorder import Recorder

__all__ = ["StatsLog"]

_LISTENER_OF_LOCUST: Final = "Runner.__init__.<locals>.on_request"
_Listener = Any
log = logging.getLogger("loadstone.hook")


class StatsLog:
    """Records direct calls while it has a Recorder, and knows where in the order of listeners Locust counts."""

    def __init__(self, environment: Environment) -> None:
        """Take the place of Locust's listener. Its runner must exist already."""
        self.recorder: Recorder | None = None
        self._event = environment.events.request
        self._counting = _listener_of_locust(self._event)
        if self._counting is None:
            log.warning("direct_log_calls=not_recorded cause='this version of Locust counts requests in another way'")
            return
        if any(issubclass(user_class, LeanHttpUser) for user_class in environment.user_classes):
            quicken(environment.stats)
        handlers = self._event._handlers  # noqa: SLF001  (Locust has no public order)
        handlers[handlers.index(self._counting)] = self._counting = self._replacement(environment)

    def start(self, recorder: Recorder) -> None:
        """Record from now on.

        The Recorder listens directly after Locust, so that both count the same events when a listener of the scenario
        raises something that ends the user, which keeps listeners behind it from being called.
        """
        self.recorder = recorder
        handlers = self._event._handlers  # noqa: SLF001
        at = handlers.index(self._counting) + 1 if self._counting in handlers else len(handlers)
        handlers.insert(at, recorder.record)

    def stop(self) -> None:
        """Record no longer."""
        if self.recorder is not None:
            self._event.remove_listener(self.recorder.record)
        self.recorder = None

    def _replacement(self, environment: Environment) -> _Listener:
        stats, inside = environment.stats, local()
        log_request, log_error = stats.log_request, stats.log_error
        direct_request = self._recording(log_request, "log_request", inside)
        direct_error = self._recording(log_error, "log_error", inside)
        stats.log_request, stats.log_error = direct_request, direct_error  # type: ignore[method-assign]

        def on_request(
            request_type: Any, name: Any, response_time: Any, response_length: Any, exception: Any = None, **_: Any
        ) -> None:
            stats = environment.stats
            if stats.log_request is not direct_request or stats.log_error is not direct_error:
                inside.event = True  # the scenario has put functions of its own there, which may call ours
                try:
                    stats.log_request(request_type, name, response_time, response_length)
                    if exception:
                        stats.log_error(request_type, name, exception)
                finally:
                    inside.event = False
                return
            log_request(request_type, name, response_time, response_length)
            if exception:
                log_error(request_type, name, exception)

        return on_request

    def _recording(self, original: Callable[..., None], name: str, inside: local) -> Callable[..., None]:
        """The original function, which also records its arguments unless Locust calls it for an event."""

        @functools.wraps(original)
        def recording(*args: Any, **kwargs: Any) -> None:
            try:
                original(*args, **kwargs)
            finally:
                if self.recorder is not None and not getattr(inside, "event", False):
                    with suppress(TypeError):  # arguments that Locust's function does not take either
                        getattr(self.recorder, name)(*args, **kwargs)

        return recording


def _listener_of_locust(event: EventHook) -> _Listener | None:
    return next((each for each in event._handlers if getattr(each, "__qualname__", "") == _LISTENER_OF_LOCUST), None)  # noqa: SLF001
