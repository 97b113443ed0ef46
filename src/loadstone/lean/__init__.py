"""`LeanHttpUser`: Locust's `FastHttpUser` API on a client that does as little as possible for each request.

user         the class that scenarios inherit from, and its task loop
session      request methods and the request event
defaults     what a client adds to each of its requests: headers, cookies, authentication, base URL
prepared     requests of which all but the body is built once
redirects    where a redirect leads
exchange     one request and its response over a pooled connection: the hot path
pools        the connections of one client, and how they are made and read
request      requests as bytes; payload encodes their bodies and query parameters
http1        responses as they arrive: head and framing (RFC 9112)
response     what a scenario gets back
body         bodies read while they arrive; decoding decompresses them
connection   a socket in the event loop; opening resolves, connects and does TLS
trust        which certificates a client accepts and shows
cookies      the cookies of one user
instead      what Locust's own classes have and this one has not, and what to write instead
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
