"""InfluxClient: one write request to InfluxDB, and its outcome for the lines that were sent.

The official client's service for ``/api/v2/write`` carries ready bytes, without retries of its own. It reports status,
headers and body of every refusal; the write API above it drops data after five tries when it batches, and compresses
at the slowest level (docs/decisions/influxdb.md).
"""

from __future__ import annotations

import contextlib
import gzip
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError, ReadTimeoutError

from loadstone.errors import UsageError
from loadstone.influx.answer import WriteAnswer, WriteOutcome, answer_of
from loadstone.settings import read_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import InfluxSettings

__all__ = ["InfluxClient", "read_token"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_GZIP_LEVEL: Final = 1
"""The fastest: line protocol shrinks to a tenth even so, and level 9 (the client's own) costs six times the CPU."""

_LONGEST_RETRY_AFTER_S: Final = 3600.0
_REASON_LIMIT: Final = 500


class InfluxClient:
    """A connection to one bucket. The token file is read again after a failure, so a corrected token counts."""

    def __init__(self, settings: InfluxSettings, *, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._now_s = now_s
        self._gzip = urlsplit(settings.influx_url or "").hostname not in _LOOPBACK
        self._token = read_token(settings.influx_token_file)
        self._client = self._connect()

    def write(self, lines: bytes) -> WriteAnswer:
        """Send lines in one request and wait for its answer, at most ``influx_timeout``. Never raises for a failure."""
        body = gzip.compress(lines, _GZIP_LEVEL, mtime=0) if self._gzip else lines
        try:
            self._write(body)
        except ApiException as error:
            return self._answer_of(error)
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
        """Close the connections."""
        self._client.close()

    def _connect(self) -> Any:
        settings = self._settings
        client = InfluxDBClient(settings.influx_url, self._token, timeout=int(settings.influx_timeout * 1000))
        service: Any = WriteService
        options = {"precision": "ns"} | ({"content_encoding": "gzip"} if self._gzip else {})
        post = service(client.api_client).post_write
        self._write = partial(post, settings.influx_org, settings.influx_bucket, **options)
        return client

    def _answer_of(self, error: Any) -> WriteAnswer:
        status = int(error.status or 0)
        if not status:
            return WriteAnswer(WriteOutcome.AWAY, str(error.reason))
        return answer_of(status, error.body, self._seconds(error.headers.get("Retry-After")))

    def _seconds(self, retry_after: str | None) -> float | None:
        """Seconds or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
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
