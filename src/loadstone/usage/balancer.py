"""What HAProxy did since it was last read, from its statistics in CSV.

Columns: https://docs.haproxy.org/2.6/management.html, section 9.1. Only the rows of whole backends matter: ``qcur``
requests wait, ``act`` servers are up, ``wretr`` and ``wredis`` count retries and redispatches.
"""

from __future__ import annotations

import csv
import io
from typing import Final

from loadstone.domain.usage_tick import Balance
from loadstone.usage.reading import SourceError, get, increase

__all__ = ["Balancer", "backends_of"]

_WHOLE: Final = "BACKEND"
_NO_SERVERS: Final = "statistics"


class Balancer:
    """One HAProxy; ``service`` is the name under which its backend, the replicas, is recorded."""

    def __init__(self, url: str, service: str = "target") -> None:
        self._url = f"{url}/stats;csv"
        self._service = service
        self._before: Balance | None = None

    def read(self) -> tuple[Balance, ...]:
        """What was done since the last reading; nothing for the first one. Raises `SourceError`."""
        now = _sum(self._service, backends_of(get(self._url)))
        before, self._before = self._before, now
        if before is None:
            return ()
        return (
            Balance(
                service=now.service,
                queue=now.queue,
                retries=int(increase(before.retries, now.retries)),
                redispatches=int(increase(before.redispatches, now.redispatches)),
                up=now.up,
            ),
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

    return Balance(
        service=service,
        queue=total("qcur"),
        retries=total("wretr"),
        redispatches=total("wredis"),
        up=total("act"),
    )
