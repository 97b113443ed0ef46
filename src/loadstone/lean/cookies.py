"""Cookies of one user: the jar of requests, with the standard library's rules and the header field cached.

Building the Cookie field takes about 20 us in the standard library. It changes only when the jar does or when a cookie
expires, so in between it is built once for each URL.
"""

from __future__ import annotations

import time
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.request import Request

from requests.cookies import RequestsCookieJar

if TYPE_CHECKING:
    from http.cookiejar import Cookie

    from loadstone.lean.http1 import ResponseHeaders

NEVER = float("inf")
REMEMBERED_URLS = 200


class LeanCookieJar(RequestsCookieJar):
    """A jar that caches the Cookie field for each URL until a cookie changes or expires."""

    def __init__(self) -> None:
        super().__init__()
        self._remembered: dict[str, bytes] = {}
        self._valid_until_s = NEVER

    def field_for(self, url: str) -> bytes:
        """Give the complete Cookie field for a request to `url`, with its line end, or b"" without cookies."""
        if time.time() >= self._valid_until_s or len(self._remembered) > REMEMBERED_URLS:
            self._forget()
        field = self._remembered.get(url)
        return field if field is not None else self._build(url)

    def store(self, headers: ResponseHeaders, url: str) -> None:
        """Take the cookies of a response to a request to `url`."""
        self.extract_cookies(_Answer(headers), Request(url))  # type: ignore[arg-type]  # noqa: S310  # no request is made

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        """Add or replace one cookie."""
        super().set_cookie(cookie, *args, **kwargs)
        self._forget()

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Remove all cookies, or those of a domain, path and name."""
        super().clear(*(part for part in (domain, path, name) if part is not None))
        self._forget()

    def _build(self, url: str) -> bytes:
        request = Request(url)  # noqa: S310  # no request is made
        self.add_cookie_header(request)
        value = request.get_header("Cookie")
        field = f"Cookie: {value}\r\n".encode("latin-1") if value else b""
        self._remembered[url] = field
        self._valid_until_s = min((cookie.expires or NEVER for cookie in self), default=NEVER)
        return field

    def _forget(self) -> None:
        self._remembered.clear()
        self._valid_until_s = NEVER


class BorrowedJar(LeanCookieJar):
    """The cookies of one request: those of its client and its own ones; what the server sets goes to the client."""

    def __init__(self, client_jar: LeanCookieJar, own: Any) -> None:
        super().__init__()
        self._client_jar = client_jar
        self.update(client_jar)
        self.update(own)

    def store(self, headers: ResponseHeaders, url: str) -> None:
        """Take the cookies of a response to a request to `url`."""
        super().store(headers, url)
        self._client_jar.store(headers, url)


def jar_of(cookies: Any) -> LeanCookieJar:
    """Give a jar with these cookies: the same one if it is ours, else a copy of a mapping or of another jar."""
    if isinstance(cookies, LeanCookieJar):
        return cookies
    jar = LeanCookieJar()
    jar.update(cookies or {})
    return jar


class _Answer:
    """What `CookieJar.extract_cookies` needs of a response."""

    def __init__(self, headers: ResponseHeaders) -> None:
        self._message = Message()
        for value in headers.get_all("set-cookie"):
            self._message["Set-Cookie"] = value

    def info(self) -> Any:
        return self._message
