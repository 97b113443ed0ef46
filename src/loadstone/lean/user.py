"""`LeanHttpUser`: the user class that scenarios inherit from."""

from __future__ import annotations

import random
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

import gevent
from locust.exception import StopTest, StopUser
from locust.user import User
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet, TaskSet
from locust.user.users import RestMixin

from loadstone.domain.time import NS_PER_S
from loadstone.lean.exchange import ClientSettings, Options
from loadstone.lean.http1 import Limits
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

    The attributes below are read once for each class, when its first user is made.
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
    max_header_bytes: int = 65_536
    """Size that the head of a response may have; heads of up to 4,096 bytes are always accepted."""
    max_body_bytes: int = 100 * MB
    """Size that the body of a response may have, before and after decompression."""
    concurrency: int = 10
    """Idle connections kept for each host; a user whose greenlets need more at once gets them."""
    insecure: bool = False
    """Whether to accept any TLS certificate. Unlike in `FastHttpUser`, certificates are verified by default."""
    ssl_context_factory: Callable[[], ssl.SSLContext] | None = None
    """Makes the TLS settings, once for each class, in place of Python's defaults."""
    decompress: bool = True
    """Whether bodies are decompressed; if not, content and its recorded length are what came over the wire."""
    default_headers: Mapping[str, str] | None = None
    """Header fields sent with every request."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        quicken(environment.stats)
        if self.host is None:
            raise StopTest(NO_HOST)
        self.client = LeanHttpSession(
            self.host, self.environment.events.request, self, settings_of(type(self)), self.default_headers
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


@cache
def settings_of(user_class: type[LeanHttpUser]) -> ClientSettings:
    """Give the client settings that the attributes of a user class make."""
    limits = Limits(
        read_ns=int(user_class.network_timeout * NS_PER_S),
        response_ns=int(user_class.response_timeout * NS_PER_S),
        max_head_bytes=user_class.max_header_bytes,
        max_body_bytes=user_class.max_body_bytes,
    )
    return ClientSettings(
        connection_timeout_s=user_class.connection_timeout,
        options=Options(limits, decompress=user_class.decompress),
        max_redirects=user_class.max_redirects,
        concurrency=user_class.concurrency,
        insecure=user_class.insecure,
        ssl_context_factory=user_class.ssl_context_factory,
    )


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
