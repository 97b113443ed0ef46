"""Responses of lean requests; nothing is decoded to text or parsed before the scenario asks for it."""

from __future__ import annotations

import json as json_module
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from charset_normalizer import detect
from locust.contrib.fasthttp import LocustUserAgent
from locust.exception import CatchResponseError, LocustError, ResponseError
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, parse_header_links

from loadstone.lean.body import BLOCK_BYTES, Body, lines_of, slices, text_of
from loadstone.lean.cookies import LeanCookieJar
from loadstone.lean.http1 import ResponseHeaders
from loadstone.lean.instead import RESPONSE, refuse_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from loadstone.lean.http1 import Head
    from loadstone.lean.request import Template

NO_HEADERS = ResponseHeaders()
BAD_REQUEST = 400
REDIRECTS = LocustUserAgent.redirect_response_codes
PERMANENT = frozenset((301, 308))
NOT_CAUGHT = (
    "If you want to change the state of the request, you must pass catch_response=True. "
    "See http://docs.locust.io/en/stable/writing-a-locustfile.html#validating-responses"
)
NOT_ENTERED = (
    "Tried to set status on a request that has not yet been made. Make sure you use a with-block: "
    "with self.client.request(..., catch_response=True) as response: ..."
)


class LeanRequest:
    """What was sent, as far as a scenario or a listener may want to look at it."""

    __slots__ = ("body", "template")

    def __init__(self, template: Template, body: bytes) -> None:
        self.template = template
        self.body = body

    @property
    def method(self) -> str:
        """The method, in capitals."""
        return self.template.method

    @property
    def url(self) -> str:
        """The complete URL."""
        return self.template.target.url

    @property
    def path_url(self) -> str:
        """Path and query of the URL."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The fields sent, without Host, Content-Length and Cookie."""
        return CaseInsensitiveDict(self.template.fields)


class NoRedirects(list[Any]):
    """The history of all responses without redirects: empty, and it stays so, because they share it."""

    def _refuse(self, *_: object) -> Any:
        raise TypeError("the history of a response cannot be changed; make a list of your own of it")

    append = extend = insert = __iadd__ = _refuse


class LeanResponse:
    """A response, or the failure to get one: then `status_code` is 0, `content` None and `error` says why.

    `ttfb_us` is microseconds from just before the first byte was written to the first byte received, or -1.
    With `catch_response=True` it is a context manager with `success()` and `failure()`, as in Locust.
    """

    error: BaseException | None = None
    elapsed_us = -1
    ttfb_us = -1
    js: Any = None
    """The parsed body, in a block of `rest()`."""
    history: list[LeanResponse] = NoRedirects()
    """The redirects that led here, oldest first."""
    request_meta: dict[str, Any]
    """The keywords of the `request` event to come, of a request with `catch_response=True`."""
    _fire: Any = None
    _manual_result: bool | Exception | None = None
    _entered = False
    _stream: Body | None = None
    _encoding: str | None = None

    def __init__(
        self, template: Template, sent: bytes, head: Head | None, ttfb_us: int, body: bytes | None = None
    ) -> None:
        self.template = template
        self._sent = sent
        self._head = head
        self._body = body
        self.ttfb_us = ttfb_us
        self.status_code, self.ordinary = (0, False) if head is None else (head.status, head.ordinary)

    def __bool__(self) -> bool:
        """Whether there is a response whose status is no error."""
        return BAD_REQUEST > self.status_code > 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces(BLOCK_BYTES)

    def __repr__(self) -> str:
        return f"<LeanResponse [{self.status_code}] {self.template.method} {self.url}>"

    @classmethod
    def failed(cls, template: Template, sent: bytes, error: BaseException) -> Self:
        """Make the stand-in for a response that never came."""
        response = cls(template, sent, None, -1)
        response.error = error
        return response

    def begin(self, head: Head) -> None:
        """Take the head, once it is complete."""
        self._head = head
        self.status_code, self.ordinary = head.status, head.ordinary

    def attach(self, stream: Body) -> None:
        """Take the body that is still to be read, of a request with `stream=True`."""
        self._stream = stream

    def catch(self, fire: Callable[..., None]) -> Callable[..., None]:
        """Leave the verdict to a `with` block, at whose end `fire` gets the keywords that the result is called with."""
        self._fire = fire
        return self._keep_meta

    def keep(self, body: bytes) -> None:
        """Take the decompressed body, once it is complete."""
        self._body = body

    @property
    def url(self) -> str:
        """The URL that was requested, after redirects the last one."""
        return self.template.target.url

    @property
    def request(self) -> LeanRequest:
        """What was sent."""
        return LeanRequest(self.template, self._sent)

    @property
    def headers(self) -> ResponseHeaders:
        """The fields of the response; names match in any case."""
        return NO_HEADERS if self._head is None else self._head.headers

    @property
    def reason(self) -> str:
        """The reason phrase of the status line."""
        return "" if self._head is None else self._head.reason

    @property
    def length(self) -> int:
        """Bytes of the body as statistics count them: decompressed, of a stream what Content-Length announced."""
        if self._body is not None:
            return len(self._body)
        return max(0, self._head.length) if self._head is not None and self._stream is not None else 0

    @property
    def sets_cookies(self) -> bool:
        """Whether the response has a Set-Cookie field."""
        return self._head is not None and self._head.sets_cookies

    @property
    def ok(self) -> bool:
        """Whether the status code is below 400, which it also is (0) without a response: as in `FastHttpUser`."""
        return self.status_code < BAD_REQUEST

    @property
    def elapsed(self) -> timedelta:
        """The time that Locust's statistics got for this request."""
        return timedelta(microseconds=max(0, self.elapsed_us))

    @property
    def status(self) -> str:
        """The status code as text."""
        return str(self.status_code)

    @property
    def is_redirect(self) -> bool:
        """Whether the response leads elsewhere."""
        return self.status_code in REDIRECTS and bool(self.headers.get("location"))

    @property
    def is_permanent_redirect(self) -> bool:
        """Whether the response leads elsewhere for good."""
        return self.is_redirect and self.status_code in PERMANENT

    @property
    def cookies(self) -> LeanCookieJar:
        """The cookies that this response sets."""
        jar = LeanCookieJar()
        if self.sets_cookies:
            jar.store(self.headers, self.url)
        return jar

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The links of the Link field, by `rel` or, without one, by URL."""
        found = parse_header_links(self.headers.get("link", "")) if "link" in self.headers else []
        return {link.get("rel") or link["url"]: link for link in found}

    @property
    def stream(self) -> Body:
        """The body still to be read: `read(n)`, `readline()`, or in a loop; empty without `stream=True`."""
        return Body.empty() if self._stream is None else self._stream

    @property
    def content(self) -> bytes | None:
        """The decompressed body; None without a response. Of a stream, it reads the rest and raises as that does."""
        if self._body is None and self._stream is not None:
            self._body = self._stream.read()
        return self._body

    @property
    def data(self) -> bytes | None:
        """The same as `content`."""
        return self.content

    @property
    def encoding(self) -> str | None:
        """The charset that the response names; set it before `text` to decode with another one."""
        if self._encoding is None:
            headers: Any = self.headers
            self._encoding = get_encoding_from_headers(headers)
        return self._encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def apparent_encoding(self) -> str | None:
        """The charset that the body seems to be in."""
        return _detected(self.content or b"")

    @property
    def text(self) -> str | None:
        """The body as text, by the charset of Content-Type or, without one, by detection; None without a response."""
        content = self.content
        if content is None:
            return None
        if self.encoding is None:
            self.encoding = _detected(content)
        return None if self.encoding is None else str(content, self.encoding, errors="replace")

    def json(self, **kwargs: Any) -> Any:
        """Parse the body; raises json.JSONDecodeError."""
        return json_module.loads(self.text or "", **kwargs)

    def iter_content(
        self,
        chunk_size: int | None = 1024,
        decode_content: bool = True,  # noqa: FBT001, FBT002  # Locust's signature
        *,
        decode_unicode: bool | None = None,
    ) -> Iterator[bytes | str]:
        """Yield the body in pieces of at most `chunk_size` bytes; None for whole, or of a stream as it arrives.

        Pieces are text where they are UTF-8; bytes if `decode_content` or `decode_unicode` is False; with
        `decode_unicode` text in the charset of the response, as far as it names one.
        """
        pieces = self.pieces(chunk_size)
        if decode_unicode is not None:
            return text_of(pieces, self.encoding) if decode_unicode and self.encoding else pieces
        return map(_text_or_bytes, pieces) if decode_content else pieces

    def iter_lines(
        self,
        chunk_size: int = 512,
        decode_unicode: bool = False,  # noqa: FBT001, FBT002  # the signature of requests
        delimiter: Any = None,
    ) -> Iterator[Any]:
        """Yield the lines of the body as they arrive, without their ends: bytes, or text with `decode_unicode`."""
        return lines_of(self.iter_content(chunk_size, decode_unicode=decode_unicode), delimiter)

    def info(self) -> ResponseHeaders:
        """Give the header fields."""
        return self.headers

    def read(self, n: int | None = None) -> bytes:
        """Read `n` bytes of a stream, or the rest of it."""
        return self.stream.read(n)

    def readline(self) -> bytes:
        """Read one line of a stream, with the CRLF that ends it."""
        return self.stream.readline()

    def isclosed(self) -> bool:
        """Tell whether the whole body has arrived."""
        return self.stream.ended

    def close(self) -> None:
        """Give up a stream that will not be read to its end; its connection is closed."""
        if self._stream is not None:
            self._stream.close()

    release = close

    def raise_for_status(self) -> None:
        """Raise what made this request fail: its status code or error, or what `failure()` was given."""
        if isinstance(self._manual_result, Exception):
            raise self._manual_result
        if not self._manual_result and self.error is not None:
            raise self.error

    def success(self) -> None:
        """Count the request as successful whatever its status; raises LocustError outside a `with` block."""
        self._require_entered()
        self._manual_result = True

    def failure(self, exc: object) -> None:
        """Count the request as failed for `exc`, an exception or a text; raises LocustError outside a `with` block."""
        self._require_entered()
        self._manual_result = exc if isinstance(exc, Exception) else CatchResponseError(exc)

    def __enter__(self) -> Self:
        if self._fire is None:
            raise LocustError("In order to use a with-block for requests, you must also pass catch_response=True")
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._manual_result is not None:
            self._report(None if self._manual_result is True else self._manual_result)
            return kind is None
        if kind is not None:
            if isinstance(error, ResponseError):
                self._report(error)
                return True
            return False
        self._report(self.error)
        return True

    def pieces(self, size: int | None) -> Iterator[bytes]:
        """Yield the body in pieces of at most `size` bytes, or as it arrives."""
        return (
            slices(self._body or b"", size)
            if self._body is not None or self._stream is None
            else self._stream.pieces(size)
        )

    def _keep_meta(self, **meta: Any) -> None:
        del meta["response"]  # or it would be a reference cycle
        self.request_meta = meta

    def _report(self, exception: Any) -> None:
        self.request_meta["exception"] = exception
        self._fire(response=self, **self.request_meta)

    def _require_entered(self) -> None:
        if self._fire is None:
            raise LocustError(NOT_CAUGHT)
        if not self._entered:
            raise LocustError(NOT_ENTERED)


refuse_attributes(LeanResponse, "response", RESPONSE)


def _detected(content: bytes) -> str | None:
    found: Any = detect(content)["encoding"]
    return None if found is None else str(found)


def _text_or_bytes(piece: bytes) -> bytes | str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return piece
