"""The control API of a waiting master: HTTP routes beside Locust's own, for `loadstone run --stack`.

A request to start a run has fields that Locust's form lacks: objectives, steady state, warm-up, seed, and who asked.

POST /loadstone/runs   start a run; JSON of `RunRequest`, values as text -> {"launch": ...}
GET  /loadstone/runs   the current run, or the last one, as `loadstone.domain.live.RunStatus`
POST /loadstone/stop   end it early: it counts as interrupted
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import gevent
import msgspec
from flask import Response, jsonify, request
from locust.runners import STATE_INIT, STATE_STOPPED, MasterRunner

from loadstone.domain.limits import check_depth
from loadstone.domain.live import RunStatus
from loadstone.domain.masking import mask_secrets
from loadstone.errors import SettingsError, UsageError
from loadstone.hook.arrival_shapes import shape_of
from loadstone.hook.open_load import open_load
from loadstone.hook.web_guard import guarded_view
from loadstone.settings import RunRequest, describe, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from locust.env import Environment
    from locust.web import WebUI

    from loadstone.hook.master import MasterHook
    from loadstone.hook.open_load import OpenLoad
    from loadstone.hook.web_ui import LiveSource

__all__ = ["install"]

_OBJECTS: Final = ("limits", "target")
"""Fields that are JSON objects."""
_IDLE: Final = frozenset({STATE_INIT, STATE_STOPPED})


def install(web_ui: WebUI, hook: MasterHook, source: LiveSource | None) -> None:
    """Add the routes, behind the login that Locust's own are behind."""
    app: Any = web_ui.app
    api = _ControlApi(web_ui, hook, source)
    app.add_url_rule("/loadstone/runs", "loadstone_run", guarded_view(web_ui, api.status), methods=["GET"])
    app.add_url_rule("/loadstone/runs", "loadstone_start", guarded_view(web_ui, api.start), methods=["POST"])
    app.add_url_rule("/loadstone/stop", "loadstone_stop", guarded_view(web_ui, api.stop), methods=["POST"])


class _ControlApi:
    def __init__(self, web_ui: WebUI, hook: MasterHook, source: LiveSource | None) -> None:
        self._environment = web_ui.environment
        self._host = web_ui.environment.host
        self._hook = hook
        self._source = source

    def status(self) -> Response:
        runner = self._runner()
        shape = _name_of_shape(self._environment)
        status = RunStatus(
            run=self._hook.run,
            state=runner.state,
            users=runner.user_count,
            workers=runner.worker_count,
            live=self._source() if self._source else None,
            arrival_shape=shape,
        )
        return Response(msgspec.json.encode(status), mimetype="application/json")

    def start(self) -> tuple[Response, HTTPStatus]:
        if not request.is_json:
            return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request is not JSON")
        try:
            requested = load(RunRequest, _texts(request.get_json()), environ={})
            open_model = self._open_load(requested)
        except SettingsError as error:
            return _refused(HTTPStatus.BAD_REQUEST, *map(mask_secrets, error.problems))
        except UsageError as error:
            return _refused(HTTPStatus.BAD_REQUEST, mask_secrets(str(error)))
        runner = self._runner()
        if runner.state not in _IDLE:
            return _refused(HTTPStatus.CONFLICT, f"run {self._hook.run} is still going on; stop it first")
        if not runner.worker_count:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "no worker has joined yet")
        self._begin(runner, requested, open_model)
        return jsonify({"launch": requested.launch}), HTTPStatus.ACCEPTED

    def stop(self) -> Response:
        self._hook.interrupt()
        gevent.spawn(self._runner().stop)
        return jsonify({"run": self._hook.run})

    def _open_load(self, requested: RunRequest) -> OpenLoad | None:
        length_s = requested.run_time
        if length_s is None and requested.steady_state is not None:
            length_s = requested.warmup + requested.steady_state
        found = open_load(self._environment, requested.rate, max_users=requested.max_users, length_s=length_s)
        if found is None and requested.max_users is not None:
            raise UsageError("max_users belongs to a rate of arrivals", hint="Give one, such as 500/s")
        return found

    def _begin(self, runner: MasterRunner, requested: RunRequest, open_model: OpenLoad | None) -> None:
        self._hook.expect(requested)
        self._environment.host = requested.host or self._host
        if self._environment.parsed_options is not None:
            self._environment.parsed_options.run_time = None  # of an earlier run that the web UI has started
        if self._environment.shape_class:
            gevent.spawn(runner.start_shape)
        else:
            # Whoever names a rate knows how many users it needs; that of an arrival shape only the master knows.
            from_shape = None if requested.rate else open_model
            users, spawn_rate = from_shape or (requested.users, requested.spawn_rate)
            gevent.spawn(runner.start, users, spawn_rate)

    def _runner(self) -> MasterRunner:
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            raise TypeError(f"the control API needs a Locust master, not {type(runner).__name__}")
        return runner


def _name_of_shape(environment: Environment) -> str | None:
    try:
        shape = shape_of(environment)
    except UsageError:  # said to whoever starts a run
        return None
    return type(shape).__name__ if shape else None


def _texts(body: Any) -> Mapping[str, str | list[str]]:
    """The fields of a request as options are given. Raises `SettingsError` that names every unknown field."""
    if not isinstance(body, dict):
        raise SettingsError(["the request must be a JSON object"])
    known = {each.name for each in describe(RunRequest)}
    if unknown := sorted(set(body) - known):
        raise SettingsError([f"{name} is not known, allowed are {', '.join(sorted(known))}" for name in unknown])
    try:
        for name in _OBJECTS:
            check_depth(body.get(name), name)
    except ValueError as error:
        raise SettingsError([str(error)]) from error
    return {name: _text(value) for name, value in body.items() if value is not None}


def _text(value: Any) -> str | list[str]:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return [str(each) for each in value] if isinstance(value, list) else str(value)


def _refused(status: HTTPStatus, *problems: str) -> tuple[Response, HTTPStatus]:
    return jsonify({"problems": problems}), status
