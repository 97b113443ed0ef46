"""Unreported requests: those that were sent, but of which their client fired no request event.

Locust counts a request when its event is fired. With ``catch_response=True`` that is at the end of a ``with`` block,
and it never happens if an exception (an ``assert``, RescheduleTask, an interrupt) leaves the block, or if there is
none. Nor does it happen if something else interrupts the client while it waits for the response: a gevent.Timeout, in
HttpUser, or the end of a greenlet that the scenario has started. The server has seen these requests, so their number
tells why it counts more than Locust. It is an estimate: what is interrupted may not have reached the server yet.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import GreenletExit
from locust.clients import HttpSession
from locust.clients import ResponseContextManager as HttpResponse
from locust.contrib.fasthttp import FastHttpSession, FastResponse, LocustUserAgent
from locust.contrib.fasthttp import ResponseContextManager as FastCaught
from requests import Session
from requests.exceptions import InvalidSchema, InvalidURL

from loadstone.lean import REQUEST_CODES, LeanHttpSession, LeanResponse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

__all__ = ["install", "unreported"]

_FAST_CODES: Final = (LocustUserAgent._urlopen.__code__, FastResponse.content.fget.__code__)  # type: ignore[attr-defined]  # noqa: SLF001
_OPEN: Final = "_loadstone_open"
"""Attribute of responses whose request is still to be reported; a response that is reported twice counts once."""
_counts = {"open": 0, "interrupted": 0}


def unreported() -> int:
    """How many requests of this process are unreported; those inside their ``with`` block are among them."""
    return _counts["open"] + _counts["interrupted"]


def install() -> None:
    """Count for HttpUser, FastHttpUser and LeanHttpUser. Calling it again changes nothing."""
    if hasattr(HttpResponse._report_request, "__wrapped__"):  # noqa: SLF001
        return
    _count_reports(HttpResponse, "_report_request")
    _count_reports(FastCaught, "_report_request")
    _count_reports(LeanResponse, "_report")
    _count_caught_responses()
    _count_interrupted(HttpSession, "_send_request_safe_mode", (Session.send.__code__,))
    _count_interrupted(FastHttpSession, "request", _FAST_CODES)
    _count_interrupted(LeanHttpSession, "_exchange", REQUEST_CODES)


def _count_caught_responses() -> None:
    """Each stock class makes its responses for ``with`` blocks in another way."""
    wrap, begin, catch = HttpResponse.wrap_response, FastCaught.__init__, LeanResponse.catch

    @functools.wraps(wrap.__func__)  # type: ignore[attr-defined]
    def wrap_response(_cls: type, response: Any, request_event: Any, request_meta: Any, catch_response: bool) -> Any:  # noqa: FBT001
        caught = wrap(response, request_event, request_meta, catch_response)
        return _opened(caught) if catch_response else caught

    @functools.wraps(begin)
    def begin_caught(self: FastCaught, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        _opened(self)

    @functools.wraps(catch)
    def catch_opened(self: LeanResponse, fire: Any) -> Any:
        return catch(_opened(self), fire)

    HttpResponse.wrap_response = classmethod(wrap_response)  # type: ignore[method-assign, assignment]
    FastCaught.__init__ = begin_caught  # type: ignore[method-assign]
    LeanResponse.catch = catch_opened  # type: ignore[method-assign]


def _opened(response: Any) -> Any:
    setattr(response, _OPEN, True)
    _counts["open"] += 1
    return response


def _count_reports(response_class: type, name: str) -> None:
    report = getattr(response_class, name)

    @functools.wraps(report)
    def reporting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, _OPEN, False):
            setattr(self, _OPEN, False)
            _counts["open"] -= 1
        return report(self, *args, **kwargs)

    setattr(response_class, name, reporting)


def _count_interrupted(session_class: type, name: str, sending: Iterable[CodeType]) -> None:
    send, codes = getattr(session_class, name), frozenset(sending)

    @functools.wraps(send)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(self, *args, **kwargs)
        except BaseException as left:
            if _was_sent(left, codes) and not _ends_the_user(left, self):
                _counts["interrupted"] += 1
            raise

    setattr(session_class, name, watched)


def _was_sent(left: BaseException, sending: frozenset[CodeType]) -> bool:
    """Whether an exception left one of these functions; those about the address are raised before anything is sent."""
    traceback = left.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in sending:
            return not isinstance(left, InvalidSchema | InvalidURL)
        traceback = traceback.tb_next
    return False


def _ends_the_user(left: BaseException, session: Any) -> bool:
    """Whether the user is being stopped: its request is then counted as aborted."""
    user = getattr(session, "user", None) or getattr(session, "_user", None)
    return isinstance(left, GreenletExit) and getattr(user, "_greenlet", None) in {None, gevent.getcurrent()}
