"""What a client adds to each of its requests, and lets a scenario change between them, as the client of HttpUser does.

The header fields, the base URL and the Authorization field belong to a `TemplateBook`, shared by all clients for which
they are equal; a change makes the client use another book, so requests pay nothing for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from locust.user import User
from requests.structures import CaseInsensitiveDict

from loadstone.lean import instead
from loadstone.lean.cookies import LeanCookieJar, jar_of
from loadstone.lean.pools import Pools
from loadstone.lean.reporting import firing
from loadstone.lean.request import authorization_of, shared_book, without_credentials
from loadstone.lean.trust import certificate_of, trusting, verification_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from locust.event import EventHook

    from loadstone.lean.pools import ClientSettings
    from loadstone.lean.trust import Certificate, Verify


class ClientHeaders(CaseInsensitiveDict[Any]):
    """Header fields that tell their client about every change."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], changed: Callable[[], None]) -> None:
        self._changed: Callable[[], None] = lambda: None
        super().__init__(pairs)
        self._changed = changed

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed()

    def copy(self) -> CaseInsensitiveDict[Any]:
        """Give the fields in a dictionary of their own."""
        return CaseInsensitiveDict(self.items())


class ClientDefaults:
    """The state of a client; `headers` are pairs of names and values."""

    __slots__ = (
        "__dict__",  # a scenario may keep values of its own on its client, as on Locust's
        "__weakref__",
        "_auth",
        "_event",
        "_fire",
        "_has_context",
        "_headers",
        "_jar",
        "_options",
        "_pools",
        "_settings",
        "_user",
        "book",
        "request_name",
        "switched",
    )

    def __init__(
        self, base_url: str | None, event: EventHook, user: Any, settings: ClientSettings, headers: Iterable[Any]
    ) -> None:
        url, authorization = without_credentials(base_url or "")
        self.book = shared_book(url, tuple(headers), authorization)
        """The templates of requests with the header fields and base URL of now."""
        self._auth: Any = None
        self._headers: ClientHeaders | None = None
        self._jar: LeanCookieJar | None = None
        self._pools = Pools(settings)
        self._settings, self._options = settings, settings.options
        self.request_event, self.user = event, user
        self.request_name: str | None = None
        self.switched = False
        """Set by every request: it let other greenlets run. The task loop reads and clears it."""

    @property
    def base_url(self) -> str:
        """What paths are appended to, without user name and password."""
        return self.book.base_url

    @base_url.setter
    def base_url(self, value: str) -> None:
        url, authorization = without_credentials(value)
        self._rebook(url, self.book.authorization if authorization is None else authorization)

    @property
    def headers(self) -> ClientHeaders:
        """The header fields sent with every request of this user; change them as you like."""
        if self._headers is None:
            self._headers = ClientHeaders(self.book.headers, self._headers_changed)
        return self._headers

    @headers.setter
    def headers(self, value: Mapping[str, Any]) -> None:
        self._headers = ClientHeaders(value.items(), self._headers_changed)
        self._headers_changed()

    @property
    def auth(self) -> Any:
        """The user and password sent with every request, or None; those of the host are in `auth_header`."""
        return self._auth

    @auth.setter
    def auth(self, value: Any) -> None:
        self._rebook(self.base_url, authorization_of(value) if value else None)
        self._auth = value

    @property
    def auth_header(self) -> str | None:
        """The Authorization field sent with every request, or None."""
        return self.book.authorization

    @auth_header.setter
    def auth_header(self, value: str | None) -> None:
        self._rebook(self.base_url, value)

    @property
    def cookies(self) -> LeanCookieJar:
        """The cookies of this user."""
        if self._jar is None:
            self._jar = LeanCookieJar()
        return self._jar

    @cookies.setter
    def cookies(self, value: Any) -> None:
        self._jar = jar_of(value)

    cookiejar = cookies

    @property
    def verify(self) -> bool | str:
        """Whether certificates are verified, or the CA bundle or folder by which they are."""
        return verification_of(self._settings)

    @verify.setter
    def verify(self, value: Verify) -> None:
        self._use(trusting(self._settings, value, None))

    @property
    def cert(self) -> Certificate:
        """The client certificate: the path of a PEM file, or those of certificate and key."""
        return certificate_of(self._settings)

    @cert.setter
    def cert(self, value: Certificate) -> None:
        self._use(trusting(self._settings, None, value))

    @property
    def max_redirects(self) -> int:
        """Redirects followed in one request; one more fails it."""
        return self._settings.max_redirects

    @max_redirects.setter
    def max_redirects(self, value: int) -> None:
        self._settings = replace(self._settings, max_redirects=value)

    @property
    def trust_env(self) -> bool:
        """Whether the environment sets proxies and passwords: never, as in HttpUser."""
        return False

    @trust_env.setter
    def trust_env(self, value: bool) -> None:
        if value:
            raise AttributeError(
                f"LeanHttpUser's client reads no proxy and no .netrc from the environment; {instead.PROXY}"
            )

    @property
    def request_event(self) -> EventHook:
        """The event that is fired for each request."""
        return self._event

    @request_event.setter
    def request_event(self, value: EventHook) -> None:
        self._event, self._fire = value, firing(value)

    @property
    def user(self) -> Any:
        """The user whose `context()` is part of every event, or None."""
        return self._user

    @user.setter
    def user(self, value: Any) -> None:
        self._user = value
        self._has_context = value is not None and type(value).context is not User.context

    def _headers_changed(self) -> None:
        self._rebook(self.book.base_url, self.book.authorization)

    def _rebook(self, base_url: str, authorization: str | None) -> None:
        headers = self.book.headers if self._headers is None else tuple(self._headers.items())
        self.book = shared_book(base_url, headers, authorization)

    def _use(self, settings: ClientSettings) -> None:
        """Connect by these settings from now on."""
        self._pools.close()
        self._pools = Pools(settings)
        self._settings, self._options = settings, settings.options


instead.refuse_attributes(ClientDefaults, "client", instead.CLIENT)
