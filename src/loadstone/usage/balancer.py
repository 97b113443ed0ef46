"""What HAProxy did since it was last read, from its statistics in CSV.

Columns: https://docs.haproxy.org/2.6/management.html, section 9.1. Only the rows of whole backends matter: ``qcur``
requests wait, ``act`` servers are up, ``wretr`` and ``wredis`` count retries and redispatches, ``req_tot`` requests, of
which those answered with a redirect (``hrsp_3xx``) led to another one.
"""

from __future__ import annotations

import csv
import io
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadstone.domain.usage_tick import Balance
from loadstone.usage.reading import SourceError, get, increase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Balancer", "addresses_of", "backends_of"]

_WHOLE: Final = "BACKEND"
_NO_SERVERS: Final = "statistics"


def addresses_of(url: str) -> tuple[str, ...]:
    """The same URL once for each address that its name has: there may be several balancers. Raises `SourceError`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:  # a certificate is of a name
        return (url,)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SourceError(f"{parts.hostname} has no address: {error}") from error
    hosts = sorted(
        {f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0]) for family, *_, address in found}
    )
    return tuple(parts._replace(netloc=f"{host}:{parts.port or 80}").geturl() for host in hosts)


class Balancer:
    """All HAProxys that a name leads to; ``service`` is the name under which their backend, the replicas, is recorded.

    ``url``: where they show their statistics; ``addresses``: it once for each of them.
    """

    def __init__(
        self, url: str, service: str = "target", addresses: Callable[[str], Sequence[str]] = addresses_of
    ) -> None:
        self._url, self._service, self._addresses = url, service, addresses
        self._before: dict[str, Balance] = {}

    def read(self) -> tuple[Balance, ...]:
        """What was done since the last reading; nothing for the first one. Raises `SourceError` if none answers."""
        now: dict[str, Balance] = {}
        failure: SourceError | None = None
        for address in self._addresses(self._url):
            try:
                now[address] = _sum(self._service, backends_of(get(f"{address}/stats;csv")))
            except SourceError as error:
                failure = error
        if failure is not None and not now:
            raise failure
        before, self._before = self._before, now
        done = [_since(before[address], found) for address, found in now.items() if address in before]
        return (_together(done),) if done else ()


def _since(before: Balance, now: Balance) -> Balance:
    requests = None
    if before.requests is not None and now.requests is not None:
        requests = int(increase(before.requests, now.requests))
    return Balance(
        service=now.service,
        queue=now.queue,
        retries=int(increase(before.retries, now.retries)),
        redispatches=int(increase(before.redispatches, now.redispatches)),
        up=now.up,
        requests=requests,
    )


def _together(balances: Sequence[Balance]) -> Balance:
    """What several balancers did before the same servers."""
    known = [each.requests for each in balances if each.requests is not None]
    return Balance(
        service=balances[0].service,
        queue=sum(each.queue for each in balances),
        retries=sum(each.retries for each in balances),
        redispatches=sum(each.redispatches for each in balances),
        up=max(each.up for each in balances),
        requests=sum(known) if known else None,
    )


def backends_of(text: str) -> list[dict[str, str]]:
    """The rows of whole backends with servers. Raises `SourceError` for any other text."""
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
    if not rows or "svname" not in rows[0]:
        raise SourceError(f"this is not HAProxy's statistics page: {text[:80]!r}")
    return [row for row in rows if row["svname"] == _WHOLE and row["pxname"] != _NO_SERVERS]


def _sum(service: str, rows: list[dict[str, str]]) -> Balance:
    """Totals of all backends since the balancer started."""

    def total(column: str) -> int:
        return sum(int(row.get(column) or 0) for row in rows)

    counts = any(row.get("req_tot") for row in rows)
    return Balance(
        service=service,
        queue=total("qcur"),
        retries=total("wretr"),
        redispatches=total("wredis"),
        up=total("act"),
        requests=max(total("req_tot") - total("hrsp_3xx"), 0) if counts else None,
    )
