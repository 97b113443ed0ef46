"""One plain HTTP request, without a client that retries or follows."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

__all__ = ["request"]


def request(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Send a request; the status and the body of the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
