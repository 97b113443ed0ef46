"""The guard of Locust's web UI: its routes answer its own pages and programs that hold the token, and no other website.

Locust allows every website to read everything (`CORS(app)` in its web.py) and to start and stop tests with a form. The
guard is WSGI middleware around Locust's whole application (https://peps.python.org/pep-3333/), so that it also covers
the routes of scenarios and plugins. The rules are those of `loadstone.domain.web_access`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import request

from loadstone.domain.web_access import SECURITY_HEADERS, AllowedHosts, WebRequest, refusal
from loadstone.host.names import machine_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from locust.web import WebUI

    from loadstone.settings import HookSettings

__all__ = ["guarded_view", "install"]

_OWN: Final = "/loadstone/"
_HOLDS_TOKEN: Final = "loadstone.holds_token"  # noqa: S105  (a key of the WSGI environment)
_CORS: Final = "access-control-"
_FRAMED: Final = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "frame-ancestors 'self'"}
_LOGGED: Final = 20
"""Refusals that are logged; a website may try for ever."""
log = logging.getLogger("loadstone.web_ui")


def install(web_ui: WebUI, settings: HookSettings) -> None:
    """Put the guard around Locust's application. Whoever wraps the application later stands outside of it."""
    app: Any = web_ui.app
    hosts = AllowedHosts({web_ui.host.lower(), *machine_names()}, settings.allowed_hosts)
    app.wsgi_app = _Guard(app.wsgi_app, hosts, settings.control_token, every_route=settings.web_guard == "all")


def guarded_view(web_ui: WebUI, view: Callable[..., Any]) -> Callable[..., Any]:
    """A view behind Locust's login, where one is set; the token stands for a login."""
    behind_login: Any = web_ui.auth_required_if_enabled(view)

    def either(**given: Any) -> Any:
        return (view if request.environ.get(_HOLDS_TOKEN) else behind_login)(**given)

    return either


class _Guard:
    """Refuses requests, or passes them on and corrects the headers of their answers."""

    def __init__(self, app: WSGIApplication, hosts: AllowedHosts, token: str | None, *, every_route: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token
        self._every_route = every_route
        self._refused: set[str] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not (self._every_route or environ["PATH_INFO"].startswith(_OWN)):
            return self._app(environ, start_response)
        asked = _request_of(environ)
        reason = refusal(asked, self._hosts, self._token)
        if reason is not None:
            self._log(reason, asked)
            body = _refuse(reason, start_response)
            return [] if asked.method == "HEAD" else [body]
        environ[_HOLDS_TOKEN] = asked.holds(self._token)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            return start_response(status, _corrected(headers), exc_info)

        return self._app(environ, start)

    def _log(self, reason: str, asked: WebRequest) -> None:
        if reason not in self._refused and len(self._refused) < _LOGGED:
            self._refused.add(reason)
            log.warning("web_ui=refused method=%r host=%r reason=%r", asked.method, asked.host[:100], reason)


def _request_of(environ: WSGIEnvironment) -> WebRequest:
    return WebRequest(
        method=environ["REQUEST_METHOD"],
        host=environ.get("HTTP_HOST", ""),
        origin=environ.get("HTTP_ORIGIN", ""),
        referer=environ.get("HTTP_REFERER", ""),
        fetch_site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        fetch_mode=environ.get("HTTP_SEC_FETCH_MODE", ""),
        fetch_dest=environ.get("HTTP_SEC_FETCH_DEST", ""),
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
    )


def _refuse(reason: str, start_response: StartResponse) -> bytes:
    body = f"{reason}\n".encode()
    kind = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    status = HTTPStatus.FORBIDDEN
    start_response(f"{status.value} {status.phrase}", _corrected(kind))
    return body


def _corrected(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without permissions for other websites, and with what keeps them from embedding the page."""
    kept = [(name, value) for name, value in headers if not name.lower().startswith(_CORS)]
    given = {name.lower() for name, _ in kept}
    ours = {**SECURITY_HEADERS, **_FRAMED}.items()
    return [*kept, *((name, value) for name, value in ours if name.lower() not in given)]
