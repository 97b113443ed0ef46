"""`LeanHttpUser`: the user class that scenarios inherit from."""

from __future__ import annotations

import random
from functools import cache, lru_cache
from inspect import Parameter, signature
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import gevent
from locust.exception import StopTest, StopUser
from locust.user import User
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet, TaskSet
from locust.user.users import RestMixin

from loadstone.domain.time import NS_PER_S
from loadstone.lean.http1 import Limits
from loadstone.lean.instead import USER, missing
from loadstone.lean.pools import ClientSettings, Options
from loadstone.lean.reporting import quicken
from loadstone.lean.response import LeanResponse
from loadstone.lean.session import LeanHttpSession

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from locust.env import Environment

MB = 1_000_000
NO_HOST = (
    "You must specify the base host. Either in the host attribute in the User class, "
    "or on the command line using the --host option."
)


class LeanHttpUser(User, RestMixin[LeanResponse]):
    """A user with the API of Locust's `FastHttpUser` at a fraction of its cost; HTTP/1.1 only, no proxies.

    The attributes below are read when a user is made; changing them later has no effect on it.
    """

    abstract = True
    network_timeout: float = 60.0
    """Seconds that the server may be silent, or not take data, before a request fails."""
    connection_timeout: float = 60.0
    """Seconds until a connection, TLS handshake included, must be open."""
    response_timeout: float = 300.0
    """Seconds from the start of a request to the last byte of its response, redirects included; not for streams."""
    max_redirects: int = 30
    """Redirects followed in one request; one more fails it."""
    max_retries: int = 0
    """How often a request that timed out is repeated, if its method is idempotent."""
    max_header_bytes: int = 65_536
    """Size that the head of a response may have; heads of up to 4,096 bytes are always accepted."""
    max_body_bytes: int = 100 * MB
    """Size that the body of a response may have, before and after decompression."""
    concurrency: int = 10
    """Idle connections kept for each host; a user whose greenlets need more at once gets them."""
    insecure: bool = False
    """Whether to accept any TLS certificate. Unlike in `FastHttpUser`, certificates are verified by default."""
    ssl_context_factory: Callable[..., ssl.SSLContext] | None = None
    """Makes the TLS settings in place of Python's defaults: a method once for each user, else once for all users."""
    decompress: bool = True
    """Whether bodies are decompressed; if not, content and its recorded length are what came over the wire."""
    default_headers: Mapping[str, str] | None = None
    """Header fields sent with every request."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if problem := unsupported(cls):
            raise TypeError(problem)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if problem := unsupported(self):
            raise StopTest(problem)
        quicken(environment.stats)
        if self.host is None:
            raise StopTest(NO_HOST)
        self.client = LeanHttpSession(
            self.host, self.environment.events.request, self, settings_of(self), self.default_headers
        )
        """Sends requests; keeps connections and cookies of this user."""

    def run(self) -> None:  # type: ignore[misc]  # Locust's loop is final for typing only; PytestUser replaces it too
        """Run the tasks until the user is stopped, then close its connections."""
        try:
            super().run()  # type: ignore[no-untyped-call]
        finally:
            self.client.close()

    @property
    def _taskset_instance(self) -> TaskSet | None:
        return self._task_set

    @_taskset_instance.setter
    def _taskset_instance(self, task_set: TaskSet | None) -> None:
        """Locust's `run` assigns its own root task set here, of a class that cannot be chosen: replace it by ours."""
        self._task_set = LeanTaskSet(self) if type(task_set) is DefaultTaskSet else task_set


def unsupported(owner: LeanHttpUser | type[LeanHttpUser]) -> str:
    """Give the text of an error for the first attribute set that only Locust's own user classes have, "" for none."""
    return next((missing("class", name, USER) for name in USER if getattr(owner, name, None) is not None), "")


def settings_of(user: LeanHttpUser) -> ClientSettings:
    """Give the client settings that the attributes of a user make; users with the same ones share them."""
    factory: Any = user.ssl_context_factory
    make: Any = _shared_settings
    if isinstance(factory, MethodType) and factory.__self__ is user:
        if _takes_user(factory.__func__):
            factory, make = cache(factory), _settings  # sharing would keep users that have gone
        else:
            factory = factory.__func__
    times_s = (user.network_timeout, user.response_timeout, user.connection_timeout)
    sizes = (user.max_header_bytes, user.max_body_bytes, user.max_redirects, user.max_retries, user.concurrency)
    settings: ClientSettings = make(times_s, sizes, (user.insecure, user.decompress), factory)
    return settings


def _takes_user(function: Any) -> bool:
    """Tell a method from a function that was put on the class: it cannot be called without an argument."""
    positional = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    parameters = signature(function).parameters.values()
    return any(parameter.kind in positional and parameter.default is Parameter.empty for parameter in parameters)


def _settings(
    times_s: tuple[float, float, float],
    sizes: tuple[int, int, int, int, int],
    switches: tuple[bool, bool],
    factory: Callable[[], ssl.SSLContext] | None,
) -> ClientSettings:
    limits = Limits(
        read_ns=int(times_s[0] * NS_PER_S),
        response_ns=int(times_s[1] * NS_PER_S),
        max_head_bytes=sizes[0],
        max_body_bytes=sizes[1],
    )
    return ClientSettings(
        connection_timeout_s=times_s[2],
        options=Options(limits, decompress=switches[1]),
        max_redirects=sizes[2],
        max_retries=sizes[3],
        concurrency=sizes[4],
        insecure=switches[0],
        ssl_context_factory=factory,
    )


_shared_settings = lru_cache(maxsize=64)(_settings)


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
