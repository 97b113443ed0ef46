"""Requests of which everything but the body is built once, for a hot loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadstone.lean.payload import JSON_FIELDS, add_params
from loadstone.lean.request import AUTHORIZATION, authorization_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadstone.lean.defaults import ClientDefaults
    from loadstone.lean.response import LeanResponse


class PreparedRequest:
    """A method, URL and headers, waiting for a body; `LeanHttpSession.prepare` makes it."""

    __slots__ = ("_address", "_allow_redirects", "_book", "_client", "_context", "_name", "_perform", "_template")

    def __init__(
        self,
        client: ClientDefaults,
        perform: Callable[..., LeanResponse],
        method: str,
        url: str,
        *,
        name: str | None = None,
        headers: Mapping[str, Any] | None = None,
        auth: Any = None,
        params: Any = None,
        context: Mapping[str, Any] | None = None,
        allow_redirects: bool = True,
    ) -> None:
        fields = JSON_FIELDS if method.upper() in {"POST", "PUT", "PATCH"} else ()
        if auth is not None:
            fields = (*fields, AUTHORIZATION, authorization_of(auth))
        self._address = (method, url if params is None else add_params(url, params), headers, fields)
        self._client, self._perform = client, perform
        self._book: Any = None
        self._template: Any = None
        self._find_template()
        self._name = name or client.request_name or url
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
        if self._client.book is not self._book:
            self._find_template()
        return self._perform(
            self._template, body, name or self._name, context or self._context, catch_response, self._allow_redirects
        )

    def _find_template(self) -> None:
        """Build the request with the header fields and the base URL that the client has now."""
        self._book = self._client.book
        self._template = self._book.template(*self._address)
