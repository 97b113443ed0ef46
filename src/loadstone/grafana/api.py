"""The few endpoints of Grafana's HTTP API that loadstone needs, and what each refusal means.

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
    """Somebody else changed or made the same thing at the same time (409, 412)."""


class GrafanaUnavailableError(PlatformError):
    """Grafana cannot be reached, or failed (5xx)."""


class GrafanaApi:
    """A client with a service account's token. Raises `UsageError` when Grafana refuses the token or a request.

    ``pause`` waits between tries. Use as a context manager.
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
        """What is at a path, decoded; None when there is nothing."""
        return self._ask("GET", path, parameters=parameters)

    def create(self, path: str, content: Mapping[str, Any]) -> Any:
        """Make something (POST)."""
        return self._written("POST", path, content)

    def replace(self, path: str, content: Mapping[str, Any]) -> Any:
        """Put something in another's place (PUT)."""
        return self._written("PUT", path, content)

    def patiently(self, step: Callable[[], T]) -> T:
        """Take a step, again when Grafana failed or was away in its midst. The step looks first, so it may be repeated.

        Raises `GrafanaUnavailableError` when it fails four times.
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
            raise UsageError(f"Grafana at {self._url} knows no {path} (404)", hint="Is this the address of a Grafana?")
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
                f"Grafana at {self._url} cannot be reached: {error}", hint="Is it running, and is --url its address?"
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
                f"what answers at {self._url} is no Grafana: its answer is not JSON", hint="Check --url"
            ) from None

    def _refusal(self, method: str, path: str, response: httpx.Response) -> UsageError | PlatformError:
        status = response.status_code
        told = f"{method} {path}: {status} {_message(response)}".rstrip()
        if status in _REFUSED:
            return UsageError(
                f"Grafana at {self._url} refuses the token ({told})",
                hint="Make a token of a service account with the role Admin and name its file with --token-file",
            )
        if status in _CONFLICT:
            return GrafanaConflictError(
                f"Grafana has changed in the meantime ({told})", hint="Look at what is there, then try again"
            )
        if response.is_server_error or status in _BUSY:
            return GrafanaUnavailableError(f"Grafana at {self._url} failed ({told})", hint="Look at Grafana's own log")
        return UsageError(f"Grafana refuses the request ({told})", hint="Is --url that of a Grafana 10 or newer?")


def _message(response: httpx.Response) -> str:
    """Grafana's reason, if it gives one."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
