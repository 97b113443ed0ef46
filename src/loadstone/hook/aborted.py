"""Aborted requests: those in flight when their user was killed. Locust never reports them, so they are counted here.

This costs a request nothing. When a user is killed, Locust calls its ``on_stop`` while the exception that
killed it is being handled; that exception's traceback tells whether the user was inside a client's request function,
and the variables of that function tell which request it was and when it was sent.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gevent.hub
import requests
from gevent import GreenletExit
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, TaskSet

from loadstone.domain.limits import MAX_DURATION_US
from loadstone.domain.time import NS_PER_S, US_PER_S
from loadstone.hook.odd_event import text_of
from loadstone.lean import REQUEST_CODES, LeanHttpSession
from loadstone.lean.user import LeanTaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType, FrameType, TracebackType

    from locust import User

__all__ = ["Aborted", "Stuck", "UserEnd", "WentAway", "watch_ends"]

_IN_FLIGHT: Final[frozenset[CodeType]] = frozenset(
    {HttpSession._send_request_safe_mode.__code__, FastHttpSession.request.__code__, *REQUEST_CODES}  # noqa: SLF001
)
_IN_A_TASK: Final[frozenset[CodeType]] = frozenset(
    {TaskSet.execute_next_task.__code__, LeanTaskSet.execute_next_task.__code__}
)
_ASLEEP: Final[frozenset[CodeType]] = frozenset({gevent.hub.sleep.__code__})


class Aborted(NamedTuple):
    """A user was killed with this request in flight; ``age_us`` is how long it had waited, method and name if known."""

    method: str
    name: str
    age_us: int


class Stuck(NamedTuple):
    """A user was killed inside a task where it neither slept nor used a client that is known here."""


class WentAway(NamedTuple):
    """A user ended by itself, as with ``raise StopUser``."""


UserEnd = Aborted | Stuck | WentAway


def watch_ends(user_classes: Iterable[type[User]], note: Callable[[UserEnd], None]) -> None:
    """Make every user of these classes call ``note`` when it ends in one of the three ways above."""
    for user_class in user_classes:
        user_class.on_stop = _watching_on_stop(user_class.on_stop, note)  # type: ignore[method-assign]
        user_class.run = _watching_run(user_class.run, note)  # type: ignore[method-assign, misc]


def _watching_run(run: Callable[..., Any], note: Callable[[UserEnd], None]) -> Callable[..., Any]:
    """For users that never reach ``on_stop`` because they have a ``run`` of their own, such as those of pytest."""

    @functools.wraps(run)
    def watched(user: User) -> Any:
        try:
            return run(user)
        except GreenletExit as killed:
            _note_end(user, killed, note)
            raise

    return watched


def _watching_on_stop(on_stop: Callable[..., Any], note: Callable[[UserEnd], None]) -> Callable[..., Any]:
    @functools.wraps(on_stop)
    def watched(user: User) -> Any:
        _note_end(user, sys.exc_info()[1], note)
        return on_stop(user)

    return watched


def _note_end(user: User, ended_by: BaseException | None, note: Callable[[UserEnd], None]) -> None:
    if isinstance(ended_by, StopUser):
        if user._state != LOCUST_STATE_STOPPING:  # noqa: SLF001  (Locust has no public way to ask)
            note(WentAway())
        return
    frames = list(_frames(ended_by.__traceback__ if ended_by else None))
    codes = {frame.f_code for frame in frames}
    if codes & _IN_FLIGHT:
        note(_aborted(frames))
    elif codes & _IN_A_TASK and not codes & _ASLEEP and user._state != LOCUST_STATE_WAITING:  # noqa: SLF001
        note(Stuck())


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _aborted(frames: Iterable[FrameType]) -> Aborted:
    """What the variables of the request function say; a name of the client's own where they do not say it."""
    for frame in frames:
        if read := _READERS.get(frame.f_code):
            try:
                method, name, started_s = read(frame.f_locals)
                age_us = int((time.perf_counter() - started_s) * US_PER_S)
                return Aborted(text_of(method), text_of(name), min(max(0, age_us), MAX_DURATION_US))
            except Exception:  # noqa: BLE001, S112  (a scenario's own values may raise anything; it still counts)
                continue
    return Aborted("", "", 0)


def _read_http(variables: Mapping[str, Any]) -> tuple[Any, Any, float]:
    """Of ``HttpSession.request``, which takes the name of a request without one from its URL, query included."""
    url, params = variables["complete_url"], variables["kwargs"].get("params")
    return variables["method"], variables["name"] or _path_of(url, params), variables["start_perf_counter"]


def _path_of(url: str, params: Any) -> str:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, params)  # type: ignore[no-untyped-call, unused-ignore]
    return prepared.path_url


def _read_fast(variables: Mapping[str, Any]) -> tuple[Any, Any, float]:
    return variables["method"], variables["name"] or variables["url"], variables["start_perf_counter"]


def _read_lean(variables: Mapping[str, Any]) -> tuple[Any, Any, float]:
    return variables["template"].method, variables["name"], variables["start_ns"] / NS_PER_S


_READERS: Final[Mapping[CodeType, Callable[[Mapping[str, Any]], tuple[Any, Any, float]]]] = {
    HttpSession.request.__code__: _read_http,
    FastHttpSession.request.__code__: _read_fast,
    LeanHttpSession.perform.__code__: _read_lean,
}
"""For each request function: method, name and start (perf_counter, seconds) of the request in its variables."""
