"""Which requests a web server of loadstone answers. A browser sends some on behalf of any page that is open in it.

Three headers say where a request comes from, and no page can forge them (https://fetch.spec.whatwg.org/#forbidden-header-name):

- ``Host`` is the server's name as the page knows it. A name that an attacker owns can be made to point here ("DNS
  rebinding"), and the attacker's page is then of the same origin. An IP address cannot be pointed elsewhere.
- ``Sec-Fetch-Site`` (https://www.w3.org/TR/fetch-metadata/) says it outright, but only to loopback and HTTPS servers.
- ``Origin`` (RFC 6454), or else ``Referer``, names the page's server.

What changes something needs proof that one of the server's own pages asks, or the token that only programs hold.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from loadstone.domain.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SECURITY_HEADERS", "AllowedHosts", "WebRequest", "refusal", "seen_from"]

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
}
"""For every answer: no other site embeds it, guesses its type, or keeps a handle on its window."""
_AUTHORITY: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-z_.-]+))(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_LOCAL: Final = "localhost"
_LOOPBACK: Final = frozenset({_LOCAL, "127.0.0.1", "::1"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = "Bearer "
_SHOWN: Final = 100
_Source = Literal["own", "foreign", "unknown"]


class AllowedHosts:
    """The names in ``Host`` that a server answers to: every IP address, ``localhost``, its own names, and allowed ones.

    ``own`` are names as they are. Of ``allowed``, ``*.NAME`` stands for all names below NAME, and ``*`` for every name.
    """

    def __init__(self, own: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        allowed = {name.lower() for name in allowed}
        self._any = "*" in allowed
        self._below = (f".{_LOCAL}", *(name[1:] for name in allowed if name.startswith("*.")))
        self._names = {_LOCAL, *(name.lower() for name in own), *allowed}

    def __contains__(self, host: str) -> bool:
        """Whether a ``Host`` header names this server."""
        found = _AUTHORITY.fullmatch(host)
        if found is None:
            return False
        if found[1]:
            return _is_address(found[1])
        name = found[2].lower().removesuffix(".")
        return self._any or name in self._names or name.endswith(self._below) or _is_address(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRequest:
    """What a request says of where it comes from; a header that is missing is empty."""

    method: str
    host: str = ""
    origin: str = ""
    referer: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    fetch_dest: str = ""
    authorization: str = ""

    def holds(self, token: str | None) -> bool:
        """Whether a program sent it that knows the token."""
        given = self.authorization.removeprefix(_BEARER)
        is_bearer = self.authorization.startswith(_BEARER)
        return bool(token) and is_bearer and hmac.compare_digest(given.encode(), (token or "").encode())

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method not in _SAFE

    @property
    def opens_page(self) -> bool:
        """Whether somebody follows a link in a window of its own, as opposed to a frame or a script."""
        return self.method == "GET" and self.fetch_mode == "navigate" and self.fetch_dest == "document"

    def source(self, hosts: AllowedHosts) -> _Source:
        """Whose page sent it; a link in a foreign page leaves it unknown unless the browser says it outright."""
        if self.fetch_site not in {"", "none", "same-origin"}:
            return "foreign"
        by_browser = self.fetch_site == "same-origin"
        if self.origin and not (self.origin == "null" and by_browser):
            behind_proxy = by_browser and (_netloc(self.origin) or "") in hosts  # one that rewrites Host
            return "own" if behind_proxy or self._is_own(self.origin) else "foreign"
        return "own" if by_browser or self._is_own(self.referer) else "unknown"

    def _is_own(self, url: str) -> bool:
        netloc, default = _netloc(url), _DEFAULT_PORTS.get(url.partition(":")[0], "")
        return netloc is not None and netloc.removesuffix(default) == self.host.lower().removesuffix(default)


def refusal(request: WebRequest, hosts: AllowedHosts, token: str | None = None) -> str | None:
    """Why a request is refused, and how to allow it; None when it is to be answered."""
    if request.holds(token):
        return None
    if request.host not in hosts:
        return _unknown_host(request.host)
    source = request.source(hosts)
    if source == "foreign" and not request.opens_page:
        return f"Another website ({_shown(request.origin)}) asked for this, and only pages of this server may."
    if source != "own" and request.changes:
        return (
            "Nothing shows that one of this server's own pages asks for this change. A program shows it with the header"
            f" `Origin: http://{_shown(request.host)}`, or with `Authorization: Bearer TOKEN`, where TOKEN is the"
            " LOADSTONE_CONTROL_TOKEN of the master."
        )
    return None


def seen_from(url: str, host: str) -> str:
    """The address of a page on this machine as a browser reaches it that sends this ``Host``; others stay.

    A page that listens on the loopback address, or on all, is told by a loopback name.
    """
    parts, asked = urlsplit(url), _AUTHORITY.fullmatch(host)
    if asked is None or parts.hostname not in _LOOPBACK:
        return url
    name = f"[{asked[1]}]" if asked[1] else asked[2]
    return parts._replace(netloc=name if parts.port is None else f"{name}:{parts.port}").geturl()


def _unknown_host(host: str) -> str:
    found = _AUTHORITY.fullmatch(host)
    if found is None:
        return "The header Host is missing or is no host name: open the page by its address."
    name = _shown(found[2] or found[1])
    return (
        f"This server does not answer to the name {name}: another website may have made that name point here. If the"
        f" name is yours, allow it: --allowed-hosts {name}, or LOADSTONE_ALLOWED_HOSTS={name} (in the compose stack"
        f" ALLOWED_HOSTS={name}). Or open the page by its IP address."
    )


def _netloc(url: str) -> str | None:
    """Host and port of an http(s) address; None if it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.netloc.lower() or None if parts.scheme in _DEFAULT_PORTS else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return clean_text(text)[:_SHOWN] or "unnamed"
