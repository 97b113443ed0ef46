"""`LeanHttpUser`: Locust's `FastHttpUser` API on a client that does as little as possible for each request.

user      the class that scenarios inherit from       session    request methods, redirects, cookies, the request event
prepared  a request built once for a hot loop         exchange   one request and its response: the hot path
template  requests as bytes                           head, reading, decoding, streaming   responses
connection, opening, pool   sockets in the event loop errors     why a request failed
"""

from __future__ import annotations

from loadstone.lean.exchange import exchange
from loadstone.lean.response import LeanResponse
from loadstone.lean.session import LeanHttpSession, PreparedRequest
from loadstone.lean.user import LeanHttpUser

REQUEST_CODES = (exchange.__code__,)
"""Code objects that are on the stack of a greenlet exactly while one of its requests is in flight."""

__all__ = ["REQUEST_CODES", "LeanHttpSession", "LeanHttpUser", "LeanResponse", "PreparedRequest"]
