"""Requests as bytes: everything but cookies, length and body is built once and shared by all users of a class.

A `Template` is kept for each combination of method, URL, headers and kind of body that a scenario uses, so building a
request in a loop is one dictionary look-up and one join.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from requests.auth import HTTPBasicAuth

from loadstone.lean.errors import UnsupportedUrlError
from loadstone.lean.opening import origin_of
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadstone.lean.opening import Origin

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
ABSOLUTE_URL = re.compile(r"https?://", re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))  # RFC 9110 section 8.6: announce even an empty body
SAFE_IN_TARGET = "/:@!$&'()*+,;=~-._?%"  # RFC 3986 section 3.3 and 3.4; % stays, as it may be an escape
DEFAULT_FIELDS = {"User-Agent": f"loadstone/{__version__}", "Accept-Encoding": "gzip, deflate, br"}
AUTHORIZATION = "Authorization"
REMEMBERED_TEMPLATES = 2_000


Pairs = tuple[tuple[str, Any], ...]
Key = tuple[str, str, tuple[str, ...], tuple[Any, ...]]
"""Method, URL as written, default fields and own fields: what makes requests share a template."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Where a URL leads: `path` is the request target of RFC 9112 section 3.2.1."""

    url: str
    origin: Origin
    host_field: str
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A request without its cookies, length and body; `head` ends after the last field.

    `written` is the method as the scenario wrote it, under which it is reported; `own_cookies` says that the scenario
    gave a Cookie field itself, to which none is added.
    """

    method: str
    written: str
    target: Target
    head: bytes
    fields: dict[str, str]
    idempotent: bool
    head_only: bool
    announces_body: bool
    own_cookies: bool

    def wire(self, body: bytes, cookies: bytes = b"") -> bytes:
        """Give the bytes to send; `cookies` is a complete Cookie field or empty."""
        if body or self.announces_body:
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (self.head, cookies, len(body), body)
        return b"%b%b\r\n" % (self.head, cookies)


class TemplateBook:
    """The templates of all users that share a base URL, header fields and an Authorization field."""

    def __init__(self, base_url: str, headers: Pairs, authorization: str | None) -> None:
        self.base_url, self.headers, self.authorization = base_url, headers, authorization
        self._templates: dict[Key, Template] = {}

    def url(self, path: str) -> str:
        """Give the complete URL: `path` after the base URL, unless it is absolute itself."""
        return path if ABSOLUTE_URL.match(path) else f"{self.base_url}{path}"

    def template(
        self, method: str, url: str, headers: Mapping[str, Any] | None, defaults: tuple[str, ...] = ()
    ) -> Template:
        """Give the template of a request.

        `defaults` are names and values in turn that apply where nothing else does, except for Authorization, which
        wins over every other one. A field that is None is not sent. Raises UnsupportedUrlError, and ValueError for a
        method, field name or value that would break the request.
        """
        key = (method, url, defaults, _flat(headers) if headers else ())
        template = self._templates.get(key)
        return template if template is not None else self._build(key, headers or {}, defaults)

    def _build(self, key: Key, headers: Mapping[str, Any], defaults: tuple[str, ...]) -> Template:
        own = dict(zip(defaults[::2], defaults[1::2], strict=True))
        authorization = own.pop(AUTHORIZATION, self.authorization)
        last = () if authorization is None else ((AUTHORIZATION, authorization),)
        fields = merge_fields((*own.items(), *self.headers, *headers.items(), *last))
        template = build_template(key[0], parse_target(self.url(key[1])), fields)
        if len(self._templates) >= REMEMBERED_TEMPLATES:
            self._templates.clear()
        self._templates[key] = template
        return template


@lru_cache(maxsize=64)
def shared_book(base_url: str, headers: Pairs, authorization: str | None) -> TemplateBook:
    """Give the one book for this base URL, these header fields and this Authorization field."""
    return TemplateBook(base_url, headers, authorization)


def merge_fields(pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Give header fields as text: of a name that comes again, in any case, the last value counts, None removes it."""
    merged: dict[str, tuple[str, Any]] = {}
    for raw_name, value in pairs:
        name = raw_name.decode("latin-1") if isinstance(raw_name, bytes) else raw_name
        merged[name.lower()] = (name, value)
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in merged.values()
        if value is not None
    }


def build_template(written: str, target: Target, fields: dict[str, str]) -> Template:
    """Write the request line, with the method in capitals, and the fields.

    Raises ValueError for a method, field name or value that would break the request.
    """
    method = written.upper()
    if not TOKEN.fullmatch(method):
        raise ValueError(f"invalid HTTP method {written!r}; use letters only, for example GET")
    for name, value in fields.items():
        if not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise ValueError(f"invalid header {name!r}: {value!r}; no line breaks or control characters, latin-1 only")
    sent = {name: value for name, value in fields.items() if name.lower() not in {"content-length", "host"}}
    host = next((value for name, value in fields.items() if name.lower() == "host"), target.host_field)
    lines = [
        f"{method} {target.path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in sent.items()),
    ]
    return Template(
        method=method,
        written=written,
        target=target,
        head="".join(f"{line}\r\n" for line in lines).encode("latin-1"),
        fields=fields,
        idempotent=method in IDEMPOTENT,
        head_only=method == "HEAD",
        announces_body=method in WITH_BODY,
        own_cookies=any(name.lower() == "cookie" for name in fields),
    )


@lru_cache(maxsize=REMEMBERED_TEMPLATES)
def parse_target(url: str) -> Target:
    """Take a URL apart and quote what may not stand in a request line.

    Raises UnsupportedUrlError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UnsupportedUrlError(f"cannot request this URL: {error}", url) from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UnsupportedUrlError("cannot request this URL: it must be http:// or https:// with a host", url)
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
    port = port or DEFAULT_PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Target(
        url=url,
        origin=origin_of(parts.scheme, host, port),
        host_field=shown if port == DEFAULT_PORTS[parts.scheme] else f"{shown}:{port}",
        path=quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=SAFE_IN_TARGET),
    )


def basic_auth(username: str | bytes, password: str | bytes) -> str:
    """Give the value of an Authorization field (RFC 7617), text in latin-1 as Locust's clients send it."""
    pair = [part.encode("latin-1") if isinstance(part, str) else part for part in (username, password)]
    return "Basic " + b64encode(b":".join(pair)).decode("ascii")


def authorization_of(auth: Any) -> str:
    """Give the value of an Authorization field for what requests take as `auth`; raises TypeError for other kinds."""
    if isinstance(auth, HTTPBasicAuth):
        return basic_auth(auth.username, auth.password)
    if isinstance(auth, tuple | list) and len(auth) == 2:  # noqa: PLR2004  # user and password
        return basic_auth(*auth)
    raise TypeError(
        f"LeanHttpUser cannot use auth of type {type(auth).__name__}; pass (user, password), "
        "or compute the Authorization field yourself and pass it in headers"
    )


def without_credentials(base_url: str) -> tuple[str, str | None]:
    """Take user and password out of a URL; give it without them, and the Authorization field that they make."""
    parts = urlsplit(base_url)
    if not (parts.username and parts.password):
        return base_url, None
    url = base_url.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1)
    return url, basic_auth(unquote(parts.username), unquote(parts.password))


def _flat(headers: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(part for pair in headers.items() for part in pair)
