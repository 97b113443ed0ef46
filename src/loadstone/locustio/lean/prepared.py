"""A request prepared once for a hot loop: calling it costs one join of bytes before the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadstone.locustio.lean.payload import JSON_FIELDS, add_params
from loadstone.locustio.lean.template import basic_auth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.locustio.lean.response import LeanResponse
    from loadstone.locustio.lean.session import LeanHttpSession


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
