"""The open model in the form of Locust's web UI: a field for the rate of arrivals, and one for the number of users.

They are options of Locust's command line, which its form shows among the custom parameters, and which it sets. What the
form says is looked at before Locust starts anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import jsonify, request
from locust.runners import STATE_INIT, STATE_STOPPED
from locust.util.timespan import parse_timespan
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from loadstone.domain.masking import mask_secrets
from loadstone.errors import UsageError
from loadstone.hook.open_load import open_load
from loadstone.hook.web_guard import guarded_view
from loadstone.settings import parse

if TYPE_CHECKING:
    from flask import Response
    from locust.web import WebUI

    from loadstone.settings import HookSettings

__all__ = ["MAX_USERS", "RATE", "add_fields", "install", "rate_given"]

RATE: Final = "rate_of_arrivals"
MAX_USERS: Final = "users_with_a_rate"
"""Names of the fields, and of the attributes of Locust's options."""
_SWARM: Final = "swarm"
_IDLE: Final = frozenset({STATE_INIT, STATE_STOPPED})


def add_fields(parser: Any, settings: HookSettings) -> None:
    """Add the fields to Locust's parser, with what the settings say as their defaults."""
    parser.add_argument(
        "--loadstone-rate",
        dest=RATE,
        metavar="RATE",
        default=", ".join(settings.rate),
        help="open model: 500/s, or stages such as 0/s..500/s over 1m, 500/s; empty for a number of users",
    )
    parser.add_argument(
        "--loadstone-max-users",
        dest=MAX_USERS,
        metavar="N",
        default=str(settings.max_users or ""),
        help="how many may be busy at once; empty for as many as arrive in two seconds",
    )


def rate_given(options: Any, settings: HookSettings) -> tuple[str, ...]:
    """The stages of the rate that Locust's options name; that of the settings where there is no such option."""
    text = getattr(options, RATE, None)
    return settings.rate if text is None else _stages(text)


def install(web_ui: WebUI) -> None:
    """Look at what the form says before Locust does, behind the login that Locust's own routes are behind."""
    look = guarded_view(web_ui, lambda: _look(web_ui))
    app: Any = web_ui.app
    app.before_request(lambda: look() if (request.endpoint or "").rpartition(".")[2] == _SWARM else None)


def _look(web_ui: WebUI) -> Response | None:
    """Give a run of the open model its users; a refusal where it cannot be run, and None where Locust may go on."""
    environment, form = web_ui.environment, request.form
    options: Any = environment.parsed_options
    if environment.runner is None or environment.runner.state not in _IDLE:
        return None
    try:
        length_s = parse_timespan(form["run_time"]) if form.get("run_time") else None
    except ValueError:
        return None  # Locust says so
    if options is not None:
        options.run_time = None  # that of an earlier run, unless the form says it again
    try:
        found = open_load(
            environment,
            _stages(form.get(RATE, getattr(options, RATE, ""))),
            max_users=_max_users(form.get(MAX_USERS, getattr(options, MAX_USERS, ""))),
            length_s=length_s,
            user_classes=_chosen(web_ui),
        )
    except UsageError as error:
        return jsonify({"success": False, "message": mask_secrets(str(error)), "host": environment.host})
    if found is not None and (RATE in form or not _stages(getattr(options, RATE, ""))):
        changed = MultiDict(form)
        changed["user_count"] = str(found.users)
        changed["spawn_rate"] = str(max(found.spawn_rate, _number(form.get("spawn_rate", ""))))
        request.form = ImmutableMultiDict(changed)
    return None


def _stages(text: str) -> tuple[str, ...]:
    """The stages in a text, separated by commas or lines."""
    return parse.lines(text.replace(",", "\n"))


def _max_users(text: str) -> int | None:
    try:
        return parse.whole_number(1)(text) if text.strip() else None
    except ValueError as error:
        raise UsageError(f"the number of users with a rate is {text!r}, it must be {error}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _chosen(web_ui: WebUI) -> list[Any]:
    """The user classes that the run will have; Locust's form may choose some."""
    available = web_ui.environment.available_user_classes or {}
    names = request.form.getlist("user_classes") if web_ui.userclass_picker_is_active else ()
    return [available[name] for name in names if name in available] or list(web_ui.environment.user_classes)
