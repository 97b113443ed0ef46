"""A client of Grafana's HTTP API that maps every refusal to an error with its cause.

https://grafana.com/docs/grafana/latest/developers/http_api/
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx

from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GrafanaApi", "GrafanaConflictError", "GrafanaUnavailableError"]

T = TypeVar("T")
_TIMEOUT_S: Final = 10.0
_PAUSES_S: Final = (0.5, 1.0, 2.0)
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_CONFLICT: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})


class GrafanaConflictError(PlatformError):
    """Someone else created or changed the same object at the same time (409, 412)."""


class GrafanaUnavailableError(PlatformError):
    """Grafana cannot be reached, failed (5xx) or is overloaded (408, 429)."""


class GrafanaApi:
    """A client with the token of a service account; use it as a context manager. ``pause`` waits between attempts.

    Raises `UsageError` when Grafana refuses the token or a request.
    """

    def __init__(self, url: str, token: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._url = url
        self._pause = pause
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=_TIMEOUT_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()

    def read(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The JSON at a path, decoded; None for 404."""
        return self._ask("GET", path, parameters=parameters)

    def create(self, path: str, content: Mapping[str, Any]) -> Any:
        """Create an object (POST)."""
        return self._written("POST", path, content)

    def replace(self, path: str, content: Mapping[str, Any]) -> Any:
        """Replace an object (PUT)."""
        return self._written("PUT", path, content)

    def retried(self, step: Callable[[], T]) -> T:
        """Run a step, up to four times while Grafana is unavailable.

        A step has to read before it writes, since a failed attempt may have written already. Raises
        `GrafanaUnavailableError` when the last attempt fails.
        """
        for pause_s in _PAUSES_S:
            try:
                return step()
            except GrafanaUnavailableError:
                self._pause(pause_s)
        return step()

    def _written(self, method: str, path: str, content: Mapping[str, Any]) -> Any:
        answer = self._ask(method, path, content=content)
        if answer is None:
            raise UsageError(
                f"Grafana at {self._url} does not know {path} (404)", hint="Check that --url is the address of Grafana"
            )
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        *,
        content: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            response = self._client.request(method, path, json=content, params=parameters)
        except httpx.HTTPError as error:
            raise GrafanaUnavailableError(
                f"Grafana at {self._url} cannot be reached: {error}",
                hint="Check that it runs and that --url is its address",
            ) from error
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not response.is_success:
            raise self._refusal(method, path, response)
        return self._decoded(response)

    def _decoded(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise UsageError(
                f"the server at {self._url} is not Grafana: its response is not JSON", hint="Check --url"
            ) from None

    def _refusal(self, method: str, path: str, response: httpx.Response) -> UsageError | PlatformError:
        status = response.status_code
        request = f"{method} {path}: {status} {_message(response)}".rstrip()
        if status in _REFUSED:
            return UsageError(
                f"Grafana at {self._url} refuses the token ({request})",
                hint="Create a token for a service account with the role Admin and name its file with --token-file",
            )
        if status in _CONFLICT:
            return GrafanaConflictError(
                f"an object in Grafana was changed in the meantime ({request})",
                hint="Look at the change, then try again",
            )
        if response.is_server_error or status in _BUSY:
            return GrafanaUnavailableError(f"Grafana at {self._url} failed ({request})", hint="See Grafana's log")
        return UsageError(
            f"Grafana refuses the request ({request})", hint="Check that --url is the address of Grafana 10 or newer"
        )


def _message(response: httpx.Response) -> str:
    """The reason that Grafana gives, if any."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
