"""Requests as bytes: everything but cookies, length and body is built once and shared by all users of a class.

A `Template` is kept for each combination of method, URL, headers and kind of body that a scenario uses, so building a
request in a loop is one dictionary look-up and one join.
"""

from __future__ import annotations

import json as json_module
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import encoder as json_encoder
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from urllib3.filepost import encode_multipart_formdata

from loadstone.lean.errors import UnsupportedUrlError
from loadstone.lean.opening import origin_of
from loadstone.version import __version__

if TYPE_CHECKING:
    from loadstone.lean.opening import Origin

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
ABSOLUTE_URL = re.compile(r"https?://", re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))  # RFC 9110 section 8.6: announce even an empty body
SAFE_IN_TARGET = "/:@!$&'()*+,;=~-._?%"  # RFC 3986 section 3.3 and 3.4; % stays, as it may be an escape
JSON = "application/json"
DEFAULT_FIELDS = {"User-Agent": f"loadstone/{__version__}", "Accept-Encoding": "gzip, deflate, br"}
REMEMBERED_TEMPLATES = 2_000


Key = tuple[str, str, tuple[str, ...], tuple[str, ...]]
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
    """A request without its cookies, length and body; `head` ends after the last field."""

    method: str
    target: Target
    head: bytes
    fields: dict[str, str]
    idempotent: bool
    head_only: bool
    announces_body: bool

    def wire(self, body: bytes, cookies: bytes = b"") -> bytes:
        """Give the bytes to send; `cookies` is a complete Cookie field or empty."""
        if body or self.announces_body:
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (self.head, cookies, len(body), body)
        return b"%b%b\r\n" % (self.head, cookies)


class TemplateBook:
    """The templates of all users that share a base URL and default headers."""

    def __init__(self, base_url: str, headers: tuple[tuple[str, str], ...]) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url
        self._fields = dict(headers)
        if parts.username and parts.password:
            self.base_url = base_url.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1)
            self._fields.setdefault("Authorization", basic_auth(unquote(parts.username), unquote(parts.password)))
        self._templates: dict[Key, Template] = {}

    def url(self, path: str) -> str:
        """Give the complete URL: `path` after the base URL, unless it is absolute itself."""
        return path if ABSOLUTE_URL.match(path) else f"{self.base_url}{path}"

    def template(
        self, method: str, url: str, headers: Mapping[str, str] | None, defaults: tuple[str, ...] = ()
    ) -> Template:
        """Give the template of a request; `defaults` are names and values in turn that apply where nothing else does.

        Raises UnsupportedUrlError, and ValueError for a method, field name or value that would break the request.
        """
        key = (method, url, defaults, _flat(headers) if headers else ())
        template = self._templates.get(key)
        return template if template is not None else self._build(key, headers or {}, defaults)

    def _build(self, key: Key, headers: Mapping[str, str], defaults: tuple[str, ...]) -> Template:
        own = {**self._fields, **{name: str(value) for name, value in headers.items() if value is not None}}
        present = {name.lower() for name in own}
        pairs = [*DEFAULT_FIELDS.items(), *zip(defaults[::2], defaults[1::2], strict=True)]
        fields = {name: value for name, value in pairs if name.lower() not in present} | own
        template = build_template(key[0], parse_target(self.url(key[1])), fields)
        if len(self._templates) >= REMEMBERED_TEMPLATES:
            self._templates.clear()
        self._templates[key] = template
        return template


@lru_cache(maxsize=64)
def shared_book(base_url: str, headers: tuple[tuple[str, str], ...]) -> TemplateBook:
    """Give the one book for this base URL and these default headers."""
    return TemplateBook(base_url, headers)


def build_template(method: str, target: Target, fields: dict[str, str]) -> Template:
    """Write the request line and the fields.

    Raises ValueError for a method, field name or value that would break the request.
    """
    if not TOKEN.fullmatch(method):
        raise ValueError(f"invalid HTTP method {method!r}; use letters only, for example GET")
    for name, value in fields.items():
        if not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise ValueError(f"invalid header {name!r}: {value!r}; no line breaks or control characters, latin-1 only")
    written = {name: value for name, value in fields.items() if name.lower() not in {"content-length", "host"}}
    host = next((value for name, value in fields.items() if name.lower() == "host"), target.host_field)
    lines = [
        f"{method} {target.path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in written.items()),
    ]
    return Template(
        method=method,
        target=target,
        head="".join(f"{line}\r\n" for line in lines).encode("latin-1"),
        fields=fields,
        idempotent=method in IDEMPOTENT,
        head_only=method == "HEAD",
        announces_body=method in WITH_BODY,
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


def _flat(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for pair in headers.items() for part in pair)


JSON_FIELDS = ("Content-Type", "application/json", "Accept", "application/json")
FORM_FIELDS = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
TEXT_FIELDS = ("Content-Type", "text/plain; charset=utf-8")
BYTES_FIELDS = ("Content-Type", "application/octet-stream")

_JSON = json_module.JSONEncoder()
_make_encoder: Any = getattr(json_encoder, "c_make_encoder", None)  # only CPython has it
_MODES = {"sort_keys": _JSON.sort_keys, "skipkeys": _JSON.skipkeys, "allow_nan": _JSON.allow_nan}
_encode: Any = _make_encoder and _make_encoder(
    None, _JSON.default, json_encoder.encode_basestring_ascii, None, ": ", ", ", *_MODES.values()
)

Payload = tuple[bytes, tuple[str, ...]]
"""A body, and the default header fields that describe it: names and values in turn."""


def encode_payload(data: Any, json: Any, files: Any) -> Payload:
    """Give the body of a request and its default fields.

    `json` counts only without `data`. An iterable or a file is read to its end and sent in one piece. Raises TypeError
    for what cannot be sent.
    """
    if files:
        return _multipart(data, files)
    if data:
        return _encode_data(data)
    if json is not None:
        return encode_json(json), JSON_FIELDS
    return b"", ()


def encode_json(value: Any) -> bytes:
    """Give what `json.dumps(value)` gives, as bytes; raises as that does.

    `dumps` makes a new C encoder for each call, which is a quarter of its time for a small value; this one is kept.
    """
    if _encode is None:
        return json_module.dumps(value).encode()
    try:
        return "".join(_encode(value, 0)).encode()
    except RecursionError:
        return json_module.dumps(value).encode()  # says "Circular reference detected" where that is the cause


def add_params(url: str, params: Any) -> str:
    """Append query parameters: a mapping, pairs or a ready string; a list as value repeats its name."""
    query = params if isinstance(params, str) else urlencode(params, doseq=True)
    if not query:
        return url
    address, mark, fragment = url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{query}{mark}{fragment}"


def _encode_data(data: Any) -> Payload:
    if isinstance(data, str):
        return data.encode(), TEXT_FIELDS
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), BYTES_FIELDS
    if isinstance(data, Mapping) or _are_pairs(data):
        return urlencode(data, doseq=True).encode(), FORM_FIELDS
    if hasattr(data, "read"):
        return _encode_data(data.read() or b"")
    if isinstance(data, Iterable):
        return b"".join(part.encode() if isinstance(part, str) else part for part in data), BYTES_FIELDS
    raise TypeError(f"cannot send a body of type {type(data).__name__}; pass str, bytes, a dict, pairs or a file")


def _are_pairs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(item, tuple) for item in data)


def _multipart(data: Any, files: Any) -> Payload:
    fields = [*(data.items() if isinstance(data, Mapping) else data or ())]
    for name, value in files.items() if isinstance(files, Mapping) else files:
        fields.append((name, _file_part(name, value)))
    body, content_type = encode_multipart_formdata(fields)
    return body, ("Content-Type", content_type)


def _file_part(name: str, value: Any) -> tuple[Any, ...]:
    file_name, content, *content_type = value if isinstance(value, tuple) else (getattr(value, "name", name), value)
    return (file_name, content.read() if hasattr(content, "read") else content, *content_type)
