"""The client of one user: Locust's request methods, redirects, cookies, and one `request` event for each call."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter_ns, time
from typing import TYPE_CHECKING, Any

from locust.contrib.fasthttp import LocustBadStatusCode, LocustUserAgent

from loadstone.domain.time import NS_PER_MS, NS_PER_US
from loadstone.lean.body import text_lines_of
from loadstone.lean.cookies import BorrowedJar
from loadstone.lean.defaults import ClientDefaults
from loadstone.lean.errors import FAILURES, TooManyRedirectsError
from loadstone.lean.exchange import exchange
from loadstone.lean.instead import refuse_arguments
from loadstone.lean.payload import add_params, encode_payload
from loadstone.lean.prepared import PreparedRequest
from loadstone.lean.redirects import redirected
from loadstone.lean.request import AUTHORIZATION, DEFAULT_FIELDS, authorization_of
from loadstone.lean.response import LeanResponse
from loadstone.lean.trust import trusting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from locust.event import EventHook

    from loadstone.lean.pools import ClientSettings, Options, Pool
    from loadstone.lean.request import Template

LINE_BYTES = 1_024
VALID = LocustUserAgent.valid_response_codes
APART = ("cert", "cookies", "max_redirects", "max_retries", "verify")
"""Arguments that make a request differ from its client in more than what is sent."""


class LeanHttpSession(ClientDefaults):
    """Sends requests and fires Locust's `request` event for each.

    `user` may be None; its `context()` is part of every event. Not to be shared between threads.
    """

    __slots__ = ()

    def __init__(
        self, base_url: str | None, request_event: EventHook, user: Any, settings: ClientSettings, headers: Any
    ) -> None:
        own = (*DEFAULT_FIELDS.items(), *(headers or {}).items())
        super().__init__(base_url, request_event, user, settings, own)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        headers: Mapping[str, Any] | None = None,
        auth: Any = None,
        json: Any = None,
        allow_redirects: bool = True,  # noqa: FBT001, FBT002
        context: Mapping[str, Any] | None = None,
        *,
        params: Any = None,
        files: Any = None,
        timeout: float | tuple[float | None, float | None] | None = None,
        **apart: Any,
    ) -> LeanResponse:
        """Send a request and report it; see docs/reference/lean-http-user.md for each argument, also those of `apart`.

        A request that fails gives a response whose `error` says why; only wrong arguments raise (ValueError, TypeError,
        UnsupportedUrlError). `timeout` is seconds for connecting and for each silence of the server, or a pair of both.
        """
        if apart:
            self = self._apart(apart)  # noqa: PLW0642  # the rest is the same for a client that differs a little
        body, fields = encode_payload(data, json, files) if data or files or json is not None else (b"", ())
        if auth:
            fields = (*fields, AUTHORIZATION, authorization_of(auth))
        template = self.book.template(method, url if params is None else add_params(url, params), headers, fields)
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
        yield from text_lines_of(response.pieces(LINE_BYTES))

    def prepare(
        self, method: str, url: str, name: str | None = None, headers: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> PreparedRequest:
        """Give a callable that sends this request with the body it is called with, at the least possible cost.

        Further arguments: `auth`, `params`, `context`, `allow_redirects` as for `request`. A body is announced as
        application/json if `headers` has no Content-Type. Raises as `request` does.
        """
        return PreparedRequest(self, self.perform, method, url, name=name, headers=headers, **kwargs)

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
        wire = template.wire(body, b"" if self._jar is None else self._cookies_for(template))
        options = options or self._options
        start_s, start_ns = time(), perf_counter_ns()
        response, end_ns = self._exchange(template, body, wire, options, start_ns)
        if not response.ordinary:
            response, end_ns = self._treat(response, end_ns, options, start_ns, allow_redirects=allow_redirects)
        elapsed_ns = end_ns - start_ns
        response.elapsed_us = elapsed_ns // NS_PER_US
        report = response.catch(self._fire) if catch_response else self._fire
        report(
            request_type=template.written,
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
        self._pools.close()

    def _apart(self, arguments: dict[str, Any]) -> Self:
        """Give a client for one request with these arguments, which shares all that they do not change."""
        refuse_arguments(arguments, APART)
        given = {name: value for name, value in arguments.items() if value is not None}
        twin = copy.copy(self)
        if "verify" in given or "cert" in given:
            twin._settings = trusting(self._settings, given.get("verify"), given.get("cert"))  # noqa: SLF001
            twin._pools = self._pools.under(twin._settings)  # noqa: SLF001
        twin._settings = replace(  # noqa: SLF001
            twin._settings,  # noqa: SLF001
            max_redirects=int(given.get("max_redirects", self._settings.max_redirects)),
            max_retries=int(given.get("max_retries", self._settings.max_retries)),
        )
        twin._jar = BorrowedJar(self.cookies, given["cookies"]) if given.get("cookies") else self.cookies  # noqa: SLF001
        self.switched = True
        return twin

    def _cookies_for(self, template: Template) -> bytes:
        """Give the Cookie field, complete with its line end, or b"" without cookies."""
        return b"" if self._jar is None or template.own_cookies else self._jar.field_for(template.target.url)

    def _exchange(
        self, template: Template, body: bytes, wire: bytes, options: Options, start_ns: int
    ) -> tuple[LeanResponse, int]:
        pool = self._pools[template.target.origin]
        self.switched = True
        try:
            return exchange(pool, template, body, wire, options, start_ns)
        except FAILURES as error:
            failure: BaseException = error
        return self._try_again(pool, template, body, wire, options, start_ns, failure)

    def _try_again(
        self,
        pool: Pool,
        template: Template,
        body: bytes,
        wire: bytes,
        options: Options,
        start_ns: int,
        failure: BaseException,
    ) -> tuple[LeanResponse, int]:
        """Repeat a request that timed out up to `max_retries` times if it is idempotent, as `FastHttpUser` does."""
        left = self._settings.max_retries if template.idempotent else 0
        while left > 0 and isinstance(failure, TimeoutError):
            left -= 1
            try:
                return exchange(pool, template, body, wire, options, start_ns)
            except FAILURES as error:
                failure = error
        return LeanResponse.failed(template, body, failure), perf_counter_ns()

    def _treat(
        self, response: LeanResponse, end_ns: int, options: Options, start_ns: int, *, allow_redirects: bool
    ) -> tuple[LeanResponse, int]:
        """Keep cookies, follow redirects, and make an error of a status that Locust counts as one."""
        self._keep_cookies(response)
        if allow_redirects and response.is_redirect:
            response, end_ns = self._follow(response, end_ns, options, start_ns)
        if response.error is None and response.status_code not in VALID:
            response.error = LocustBadStatusCode(response.url, code=response.status_code)
        return response, end_ns

    def _follow(self, first: LeanResponse, end_ns: int, options: Options, start_ns: int) -> tuple[LeanResponse, int]:
        """Follow a chain of redirects; its time counts from the start of the first request."""
        response, history = first, list[LeanResponse]()
        while response.is_redirect:
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
            wire = template.wire(body, self._cookies_for(template))
            response, end_ns = self._exchange(template, body, wire, options, start_ns)
            self._keep_cookies(response)
        response.history = history
        return response, end_ns

    def _keep_cookies(self, response: LeanResponse) -> None:
        if response.sets_cookies:
            self.cookies.store(response.headers, response.url)

    def _context(self, context: Mapping[str, Any] | None) -> dict[str, Any]:
        own = self._user.context() if self._has_context else {}
        return {**own, **context} if context else own
