"""The client of one user: Locust's request methods, redirects, cookies, and one `request` event for each call."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter_ns, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from locust.contrib.fasthttp import LocustBadStatusCode, LocustUserAgent
from locust.user import User

from loadstone.domain.time import NS_PER_MS, NS_PER_US
from loadstone.lean.cookies import LeanCookieJar
from loadstone.lean.errors import FAILURES, TooManyRedirectsError
from loadstone.lean.exchange import ClientSettings, Options, Pool, exchange
from loadstone.lean.reporting import firing
from loadstone.lean.request import (
    JSON_FIELDS,
    add_params,
    basic_auth,
    build_template,
    encode_payload,
    parse_target,
    shared_book,
)
from loadstone.lean.response import LeanResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from locust.event import EventHook

    from loadstone.lean.opening import Origin
    from loadstone.lean.request import Template

VALID = LocustUserAgent.valid_response_codes
REDIRECTS = LocustUserAgent.redirect_response_codes
TO_GET = frozenset((301, 302, 303))
OF_A_BODY = frozenset(("content-type", "content-encoding"))
INSTEAD = {
    "headers": "; set default_headers on the user class, or pass headers to a request",
    "auth": "; pass auth to a request, or put user and password into the host",
    "cookies": "; use cookiejar",
    "verify": "; set insecure on the user class",
    "cert": "; set ssl_context_factory on the user class",
    "proxies": "; proxies are not supported",
    "client": "; close() closes its connections, cookiejar has its cookies",
}


class LeanHttpSession:
    """Sends requests and fires Locust's `request` event for each.

    `user` may be None; its `context()` is part of every event. Not to be shared between threads.
    """

    __slots__ = (
        "__weakref__",
        "_book",
        "_fire",
        "_has_context",
        "_jar",
        "_options",
        "_pools",
        "_settings",
        "_user",
        "request_name",
        "switched",
    )

    def __init__(
        self, base_url: str, request_event: EventHook, user: Any, settings: ClientSettings, headers: Any
    ) -> None:
        self._pools: dict[Origin, Pool] = {}
        self._book = shared_book(base_url, tuple((headers or {}).items()))
        self._fire = firing(request_event)
        self._user = user
        self._has_context = user is not None and type(user).context is not User.context
        self._settings = settings
        self._options = settings.options
        self._jar: LeanCookieJar | None = None
        self.request_name: str | None = None
        self.switched = False
        """Set by every request: it let other greenlets run. The task loop reads and clears it."""

    def __del__(self) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """Say what to use instead of an attribute that the clients of Locust's own classes have."""
        raise AttributeError(f"LeanHttpUser's client has no {name!r}{INSTEAD.get(name, '')}")

    @property
    def base_url(self) -> str:
        """What paths are appended to, without user name and password."""
        return self._book.base_url

    @property
    def cookiejar(self) -> LeanCookieJar:
        """The cookies of this user."""
        if self._jar is None:
            self._jar = LeanCookieJar()
        return self._jar

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Report the requests of a `with` block under `name`, where they have no name of their own."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: Any = None,
        catch_response: bool = False,  # noqa: FBT001, FBT002  # Locust's signature
        stream: bool = False,  # noqa: FBT001, FBT002
        headers: Mapping[str, str] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        json: Any = None,
        allow_redirects: bool = True,  # noqa: FBT001, FBT002
        context: Mapping[str, Any] | None = None,
        *,
        params: Any = None,
        files: Any = None,
        timeout: float | tuple[float | None, float | None] | None = None,
    ) -> LeanResponse:
        """Send a request and report it; see docs/reference/lean-http-user.md for each argument.

        A request that fails gives a response whose `error` says why; only wrong arguments raise (ValueError, TypeError,
        UnsupportedUrlError). `timeout` is seconds for connecting and for each silence of the server, or a pair of both.
        """
        body, fields = encode_payload(data, json, files) if data or files or json is not None else (b"", ())
        if auth is not None:
            headers = {**(headers or {}), "Authorization": basic_auth(*auth)}
        template = self._book.template(method, url if params is None else add_params(url, params), headers, fields)
        options = self._options
        if stream or timeout is not None:
            options = replace(options if timeout is None else options.patient_for(timeout), stream=stream)
        return self.perform(
            template, body, name or self.request_name or url, context, catch_response, allow_redirects, options
        )

    def get(self, url: str, **kwargs: Any) -> LeanResponse:
        """Send a GET request; see `request`."""
        return self.request("GET", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> LeanResponse:
        """Send a HEAD request; see `request`."""
        return self.request("HEAD", url, **kwargs)

    def options(self, url: str, **kwargs: Any) -> LeanResponse:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> LeanResponse:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **kwargs)

    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> LeanResponse:
        """Send a POST request; see `request`."""
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: str, data: Any = None, **kwargs: Any) -> LeanResponse:
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: str, data: Any = None, **kwargs: Any) -> LeanResponse:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, data=data, **kwargs)

    def iter_lines(self, url: str, method: str = "GET", **kwargs: Any) -> Iterator[str]:
        """Send a request and yield the lines of its response as they arrive; raises what made it fail."""
        response = self.request(method, url, stream=True, **kwargs)
        response.raise_for_status()
        yield from response.iter_lines()

    def prepare(
        self, method: str, url: str, name: str | None = None, headers: Mapping[str, str] | None = None, **kwargs: Any
    ) -> PreparedRequest:
        """Give a callable that sends this request with the body it is called with, at the least possible cost.

        Further arguments: `auth`, `params`, `context`, `allow_redirects` as for `request`. A body is announced as
        application/json if `headers` has no Content-Type. Raises as `request` does.
        """
        return PreparedRequest(self, method, url, name=name, headers=headers, **kwargs)

    def template(self, method: str, url: str, headers: Mapping[str, str] | None, fields: tuple[str, ...]) -> Template:
        """Give the template of a request to `url` as seen from the base URL."""
        return self._book.template(method, url, headers, fields)

    def perform(
        self,
        template: Template,
        body: bytes,
        name: str,
        context: Mapping[str, Any] | None,
        catch_response: bool,  # noqa: FBT001  # passed on as it is
        allow_redirects: bool,  # noqa: FBT001
        options: Options | None = None,
    ) -> LeanResponse:
        """Send a request, follow redirects, judge the status, and fire the `request` event or leave that to `with`."""
        wire = template.wire(body, b"" if self._jar is None else self._jar.field_for(template.target.url))
        options = options or self._options
        start_s, start_ns = time(), perf_counter_ns()
        response, end_ns = self._exchange(template, body, wire, options, start_ns)
        if not response.ordinary:
            response, end_ns = self._treat(response, end_ns, options, start_ns, allow_redirects=allow_redirects)
        elapsed_ns = end_ns - start_ns
        response.elapsed_us = elapsed_ns // NS_PER_US
        report = response.catch(self._fire) if catch_response else self._fire
        report(
            request_type=template.method,
            name=name,
            context=self._context(context),
            response=response,
            exception=response.error,
            start_time=start_s,
            url=template.target.url,
            response_length=response.length,
            response_time=elapsed_ns / NS_PER_MS,
        )
        return response

    def close(self) -> None:
        """Close the idle connections; the client can be used again."""
        for pool in self._pools.values():
            pool.close()

    def _exchange(
        self, template: Template, body: bytes, wire: bytes, options: Options, start_ns: int
    ) -> tuple[LeanResponse, int]:
        origin = template.target.origin
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._settings)
        self.switched = True
        try:
            return exchange(pool, template, body, wire, options, start_ns)
        except FAILURES as error:
            return LeanResponse.failed(template, body, error), perf_counter_ns()

    def _treat(
        self, response: LeanResponse, end_ns: int, options: Options, start_ns: int, *, allow_redirects: bool
    ) -> tuple[LeanResponse, int]:
        """Keep cookies, follow redirects, and make an error of a status that Locust counts as one."""
        self._keep_cookies(response)
        if allow_redirects and self._redirects(response):
            response, end_ns = self._follow(response, end_ns, options, start_ns)
        if response.error is None and response.status_code not in VALID:
            response.error = LocustBadStatusCode(response.url, code=response.status_code)
        return response, end_ns

    def _follow(self, first: LeanResponse, end_ns: int, options: Options, start_ns: int) -> tuple[LeanResponse, int]:
        """Follow a chain of redirects; its time counts from the start of the first request."""
        response, history = first, list[LeanResponse]()
        while self._redirects(response):
            if len(history) >= self._settings.max_redirects:
                response.error = TooManyRedirectsError(f"Redirection limit reached ({self._settings.max_redirects})")
                break
            response.close()
            history.append(response)
            try:
                template, body = redirected(response, first)
            except FAILURES as error:
                response.error = error
                break
            wire = template.wire(body, b"" if self._jar is None else self._jar.field_for(template.target.url))
            response, end_ns = self._exchange(template, body, wire, options, start_ns)
            self._keep_cookies(response)
        response.history = tuple(history)
        return response, end_ns

    def _redirects(self, response: LeanResponse) -> bool:
        return response.status_code in REDIRECTS and bool(response.headers.get("location"))

    def _keep_cookies(self, response: LeanResponse) -> None:
        if response.sets_cookies:
            self.cookiejar.store(response.headers, response.url)

    def _context(self, context: Mapping[str, Any] | None) -> dict[str, Any]:
        own = self._user.context() if self._has_context else {}
        return {**own, **context} if context else own


def redirected(response: LeanResponse, first: LeanResponse) -> tuple[Template, bytes]:
    """Give the request and the body that `response` asks for, in a chain of redirects that began with `first`.

    301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat the request; another origin than
    the first one's gets no Authorization. Raises UnsupportedUrlError.
    """
    template = response.template
    target = parse_target(urljoin(template.target.url, response.headers["location"]))
    keeps = response.status_code not in TO_GET
    method = template.method if keeps or template.head_only else "GET"
    dropped = {"host"} | (set() if keeps else OF_A_BODY)
    if target.origin is not first.template.target.origin:
        dropped.add("authorization")
    fields = {name: value for name, value in template.fields.items() if name.lower() not in dropped}
    return build_template(method, target, fields), response.request.body if keeps else b""


class PreparedRequest:
    """A method, URL and headers, waiting for a body; `LeanHttpSession.prepare` makes it."""

    __slots__ = ("_allow_redirects", "_context", "_name", "_session", "_template")

    def __init__(
        self,
        session: LeanHttpSession,
        method: str,
        url: str,
        *,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        params: Any = None,
        context: Mapping[str, Any] | None = None,
        allow_redirects: bool = True,
    ) -> None:
        if auth is not None:
            headers = {**(headers or {}), "Authorization": basic_auth(*auth)}
        fields = JSON_FIELDS if method in {"POST", "PUT", "PATCH"} else ()
        address = url if params is None else add_params(url, params)
        self._session = session
        self._template = session.template(method, address, headers, fields)
        self._name = name or session.request_name or url
        self._context = context
        self._allow_redirects = allow_redirects

    def __call__(
        self,
        body: bytes | str = b"",
        *,
        name: str | None = None,
        context: Mapping[str, Any] | None = None,
        catch_response: bool = False,
    ) -> LeanResponse:
        """Send the request with `body` (text as UTF-8) and report it, as `LeanHttpSession.request` does."""
        if not isinstance(body, bytes):
            body = body.encode()
        return self._session.perform(
            self._template, body, name or self._name, context or self._context, catch_response, self._allow_redirects
        )
