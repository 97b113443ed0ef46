"""`LeanHttpUser`: Locust's `FastHttpUser` API on a client that does as little as possible for each request.

user         the class that scenarios inherit from, and its task loop
session      request methods, redirects, the request event, requests prepared for a hot loop
exchange     one request and its response over a pooled connection: the hot path
request      requests as bytes
http1        responses as they arrive: head and framing (RFC 9112)
response     what a scenario gets back
body         streamed and encoded bodies
connection   a socket in the event loop; opening resolves, connects and does TLS
cookies      the cookies of one user
reporting    the request event and Locust's statistics, at less cost
errors       why a request failed
pacing       wait times for scenarios
connections  a count of new connections, for every kind of user
locust_fast  a fix for Locust's own FastHttpUser
"""

from __future__ import annotations

import locust  # noqa: F401  (it patches the standard library, which must come before anything else imports ssl)

from loadstone.lean.exchange import exchange
from loadstone.lean.prepared import PreparedRequest
from loadstone.lean.response import LeanResponse
from loadstone.lean.session import LeanHttpSession
from loadstone.lean.user import LeanHttpUser

REQUEST_CODES = (exchange.__code__,)
"""Code objects that are on the stack of a greenlet exactly while one of its requests is in flight."""

__all__ = ["REQUEST_CODES", "LeanHttpSession", "LeanHttpUser", "LeanResponse", "PreparedRequest"]
