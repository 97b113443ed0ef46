"""`LeanHttpUser`: the user class that scenarios inherit from."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from locust.exception import StopTest
from locust.user import User
from locust.user.task import DefaultTaskSet, TaskSet
from locust.user.users import RestMixin

from loadstone.locustio.lean.connection import NS
from loadstone.locustio.lean.exchange import Options
from loadstone.locustio.lean.pool import ClientSettings
from loadstone.locustio.lean.reading import Limits
from loadstone.locustio.lean.reporting import quicken
from loadstone.locustio.lean.response import LeanResponse
from loadstone.locustio.lean.session import LeanHttpSession
from loadstone.locustio.lean.tasks import LeanTaskSet

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
        read_ns=int(user_class.network_timeout * NS),
        response_ns=int(user_class.response_timeout * NS),
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
