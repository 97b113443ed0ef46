"""Why a lean request failed without a usable response.

LeanRequestError            base; texts are few and constant, so Locust's failure table stays short
├── ConnectTimeoutError     no connection within the connect timeout            (also a TimeoutError)
├── ReadTimeoutError        the server was silent, or the response took too long (also a TimeoutError)
├── ConnectionClosedError   the server closed before the response was complete  (also a ConnectionError)
├── MalformedResponseError  bytes that are no HTTP/1.1 response (RFC 9112)
├── ResponseTooLargeError   head or body beyond the limit of the user class
├── BodyDecodeError         a body that its own Content-Encoding cannot decode
├── TooManyRedirectsError   more redirects than `max_redirects`
└── UnsupportedUrlError     a URL that is not http or https, or has no host     (also a ValueError)

Errors of the operating system (`ConnectionRefusedError`, `ConnectionResetError`, `socket.gaierror`) and of TLS
(`ssl.SSLError`) are passed on as they are, as `FastHttpUser` does. The value that made a response unusable is in
`detail`, not in the text: the text is the key under which Locust groups failures.
"""

from __future__ import annotations

import zlib
from ssl import SSLError

from gevent.timeout import Timeout
from geventhttpclient.useragent import ConnectionError as GeventHttpError


class LeanRequestError(Exception):
    """A request that got no usable response; `detail` holds the offending value, if there is one."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class ConnectTimeoutError(LeanRequestError, TimeoutError):
    """No address of the host accepted the connection, or finished the TLS handshake, in time."""


class ReadTimeoutError(LeanRequestError, TimeoutError):
    """The server sent or took nothing for `network_timeout`, or needed longer than `response_timeout` altogether."""


class ConnectionClosedError(LeanRequestError, ConnectionError):
    """The server closed the connection before the response was complete."""


class MalformedResponseError(LeanRequestError):
    """The server sent bytes that RFC 9112 does not allow in a response."""


class ResponseTooLargeError(LeanRequestError):
    """The head or the (decoded) body is larger than the user class allows."""


class BodyDecodeError(LeanRequestError):
    """The body cannot be decoded by the Content-Encoding that the response names."""


class TooManyRedirectsError(LeanRequestError):
    """The chain of redirects is longer than `max_redirects`."""


class UnsupportedUrlError(LeanRequestError, ValueError):
    """The URL has another scheme than http or https, no host, or a port that is no port."""


FAILURES = (LeanRequestError, OSError, SSLError, Timeout, GeventHttpError, zlib.error)
"""What counts as a failed request; anything else that is raised is a mistake in the scenario and reaches it."""
