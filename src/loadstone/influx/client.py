"""InfluxClient: one write request to InfluxDB, and what its answer means for the data.

The official client carries the bytes (`SYNCHRONOUS`, no retries of its own): it reports status, headers and body of
every refusal, while its batching interface drops data after five tries.
"""

from __future__ import annotations

import contextlib
import gzip
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from loadstone.errors import UsageError
from loadstone.settings import read_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import InfluxSettings

__all__ = ["InfluxClient", "WriteAnswer", "WriteOutcome", "read_token"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_GZIP_LEVEL: Final = 1
"""The fastest: line protocol shrinks to a tenth even so, and level 9 (the client's own) costs eight times the CPU."""

_LONGEST_RETRY_AFTER_S: Final = 3600.0
_REASON_LIMIT: Final = 500


class WriteOutcome(Enum):
    """What an answer means for the lines that were sent."""

    STORED = "stored"
    AWAY = "away"  # try again: no answer, 408, 429, 5xx
    REFUSED = "refused"  # not before a person has mended token, bucket or address
    REJECTED = "rejected"  # at least one of the lines is not acceptable
    TOO_LARGE = "too large"
    SLOW = "slow"  # no answer in time: try again with less


_MEANINGS: Final = {
    400: WriteOutcome.REJECTED,
    408: WriteOutcome.AWAY,
    413: WriteOutcome.TOO_LARGE,
    422: WriteOutcome.REJECTED,
    425: WriteOutcome.AWAY,
    429: WriteOutcome.AWAY,
}
_FIRST_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """The answer to one write: its meaning, the reason in InfluxDB's words, and how long it asks to wait (s)."""

    meaning: WriteOutcome
    reason: str = ""
    status: int = 0
    retry_after_s: float | None = None


class InfluxClient:
    """A connection to one bucket. The token file is read again after a refusal, so a corrected token counts."""

    def __init__(self, settings: InfluxSettings, *, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._now_s = now_s
        self._gzip = urlsplit(settings.influx_url or "").hostname not in _LOOPBACK
        self._token = read_token(settings.influx_token_file)
        self._client = self._connect()

    def write(self, lines: bytes) -> WriteAnswer:
        """Send lines in one request and wait for its answer, at most ``influx_timeout``. Never raises for a failure."""
        settings = self._settings
        try:
            self._write.write(settings.influx_bucket, settings.influx_org, lines)
        except ApiException as error:
            return self._understood(error)
        except ReadTimeoutError as error:
            return WriteAnswer(WriteOutcome.SLOW, str(error)[:_REASON_LIMIT])
        except (HTTPError, OSError) as error:
            return WriteAnswer(WriteOutcome.AWAY, str(error)[:_REASON_LIMIT])
        return WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        """Read the token file again; an unreadable one leaves the token as it is."""
        with contextlib.suppress(UsageError):
            token = read_token(self._settings.influx_token_file)
            if token != self._token:
                self._token = token
                self.close()
                self._client = self._connect()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _connect(self) -> Any:
        settings = self._settings
        timeout_ms = int(settings.influx_timeout * 1000)
        client = InfluxDBClient(
            settings.influx_url, self._token, timeout=timeout_ms, enable_gzip=self._gzip, org=settings.influx_org
        )
        client.api_client.configuration.update_request_body = self._body
        self._write = client.write_api(SYNCHRONOUS)
        return client

    def _body(self, path: str, body: bytes) -> bytes:
        """Replaces the client's own compression, which takes the slowest level."""
        return gzip.compress(body, _GZIP_LEVEL, mtime=0) if self._gzip and path.endswith("/write") else body

    def _understood(self, error: Any) -> WriteAnswer:
        status = int(error.status or 0)
        default = WriteOutcome.AWAY if status >= _FIRST_SERVER_ERROR or not status else WriteOutcome.REFUSED
        reason = f"HTTP {status}: {error.message}"[:_REASON_LIMIT] if status else str(error.reason)
        retry_after = error.headers.get("Retry-After") if status else None
        return WriteAnswer(_MEANINGS.get(status, default), reason, status, self._seconds(retry_after))

    def _seconds(self, retry_after: str | None) -> float | None:
        """Seconds or an HTTP date (RFC 9110, 10.2.3); what is neither counts as not said."""
        if not retry_after:
            return None
        try:
            seconds = float(retry_after)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(retry_after).timestamp() - self._now_s()
            except ValueError:
                return None
        return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S)
