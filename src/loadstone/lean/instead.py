"""What Locust's own classes have and `LeanHttpUser` has not, each with what to write instead.

A test compares these tables with the signatures of the installed Locust; docs/reference/lean-http-user-api.md is made
from them.
"""

from __future__ import annotations

from typing import Any

OTHERWISE = "or use HttpUser for this class"
PROXY = "set host to the proxy's address if it is a reverse proxy, or use FastHttpUser with proxy_host for this class"

USER = {
    "proxy_host": PROXY,
    "proxy_port": PROXY,
    "client_pool": "remove it, as each user has its own connections, or use FastHttpUser for this class",
    "pool_manager": f"remove it, as each user has its own connections, {OTHERWISE}",
}
"""Attributes of the user class."""

CLIENT = {
    "adapters": f"set concurrency, max_retries or ssl_context_factory on the user class, {OTHERWISE}",
    "client": "close() closes its connections, headers has its header fields, cookiejar has its cookies",
    "get_adapter": f"set concurrency, max_retries or ssl_context_factory on the user class, {OTHERWISE}",
    "get_redirect_target": 'take response.headers["location"]',
    "hooks": "look at the response where the request returns, or add a listener to events.request",
    "merge_environment_settings": f"pass verify, cert and stream to a request, {OTHERWISE}",
    "mount": f"set concurrency, max_retries or ssl_context_factory on the user class, {OTHERWISE}",
    "params": "pass params to each request",
    "prepare_request": "call prepare(method, url), and what it gives with the body of each request",
    "proxies": PROXY,
    "rebuild_auth": "pass allow_redirects=False and make the next request yourself",
    "rebuild_method": "pass allow_redirects=False and make the next request yourself",
    "rebuild_proxies": PROXY,
    "resolve_redirects": "pass allow_redirects=False and make the next request yourself",
    "send": "call prepare(method, url), and what it gives with the body of each request",
    "should_strip_auth": "pass allow_redirects=False and make the next request yourself",
    "stream": "pass stream=True to each request",
}
"""Attributes and methods of the client."""

ARGUMENT = {
    "debug_stream": "log response.request and response yourself",
    "hooks": "look at the response where the request returns, or add a listener to events.request",
    "proxies": PROXY,
    "to_string": "take response.content",
}
"""Arguments of a request."""

RESPONSE = {
    "connection": "close() of the client closes its connections",
    "next": 'request response.headers["location"]',
    "raw": "pass stream=True to the request and read response.stream",
    "unzipped": "take response.content, which is decompressed already",
    "wrap_response": "pass catch_response=True to the request",
}
"""Attributes and methods of a response."""


def missing(whose: str, name: str, instead: dict[str, str]) -> str:
    """Give the text of an error about an attribute that is not there, with what to write instead."""
    return f"LeanHttpUser's {whose} has no {name!r}; {instead[name]}"


def refuse_arguments(arguments: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise TypeError for an argument of a request that has an effect with Locust's own classes only, or with none."""
    for name, value in arguments.items():
        if name in known or (name in ARGUMENT and not value):
            continue
        instead = ARGUMENT.get(name, "if it is a query parameter, pass it in params")
        raise TypeError(f"a request of LeanHttpUser takes no argument {name!r}; {instead}")


class Missing:
    """An attribute that is not there, and that cannot be set either, because it would have no effect."""

    def __init__(self, whose: str, name: str, instead: dict[str, str]) -> None:
        self._text = missing(whose, name, instead)

    def __get__(self, owner: Any, kind: type[Any]) -> Any:
        raise AttributeError(self._text)

    def __set__(self, owner: Any, value: Any) -> None:
        raise AttributeError(self._text)


def refuse_attributes(owner: type[Any], whose: str, instead: dict[str, str]) -> None:
    """Let the attributes of a table raise on objects of `owner`; a `__getattr__` would slow every attribute down."""
    for name in instead:
        setattr(owner, name, Missing(whose, name, instead))
