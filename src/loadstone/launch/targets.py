"""Where the requests of a scenario go: whether the demo target is started, and whether each host can be used.

A host is judged only where it is certain that plain Locust could not run the scenario either: a class may get its
host from a listener, a scenario may reach its host through a proxy or start the server itself, and one whose requests
all have absolute URLs may have a host that nobody answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.masking import mask_secrets
from loadstone.errors import UsageError
from loadstone.launch.demo import describe_target
from loadstone.launch.demo_files import check_demo_packages, is_demo_scenario, target_folder
from loadstone.launch.reachable import unreachable_because
from loadstone.settings import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings, UserReport

__all__ = ["check_targets", "targets_text", "wants_demo_target"]

_DEMO: Final = "the demo target"
_OPEN: Final = "what the scenario asks"
_CURE: Final = "Start it, or correct --host"
_OWN_CURE: Final = "Start it, or name another one with --host, which takes the place of all hosts in the scenario"


def wants_demo_target(settings: RunSettings, scenario: Scenario) -> bool:
    """Whether the demo target is to be started: for the demo scenario, or for a model that the user names."""
    if settings.host or scenario.hosts:
        return False
    asked = settings.demo_model and any(user.http for user in scenario.users)
    return bool(asked) or is_demo_scenario(scenario.files)


def targets_text(settings: RunSettings, scenario: Scenario) -> str:
    """The targets that are known before the run, without secrets."""
    if wants_demo_target(settings, scenario):
        return _DEMO
    hosts = [settings.host] if settings.host else list(scenario.hosts)
    return mask_secrets(", ".join(hosts)) or _OPEN


def check_targets(settings: RunSettings, scenario: Scenario, *, interactive: bool = False) -> tuple[str, ...]:
    """What the user should know about the hosts. Raises `UsageError` where no request could be answered.

    An ``interactive`` run may still be given a host in Locust's web UI.
    """
    if wants_demo_target(settings, scenario):
        target_folder()
        check_demo_packages()
        return ()
    if settings.host and is_demo_scenario(scenario.files):
        _check_describes_itself(settings.host)
    notes = [note for user in scenario.users if (note := _check_known(user, settings, interactive=interactive))]
    return (*notes, *_check_answers(settings, scenario))


def _check_known(user: UserReport, settings: RunSettings, *, interactive: bool) -> str | None:
    if not user.http or settings.host or user.host is not None or interactive:
        return None
    if user.needs_host:
        raise UsageError(
            f"the user class {user.name} has no host", hint="Name the target with --host URL, or set host in the class"
        )
    return f"no host of {user.name} is known yet: the scenario has to set one before its first request, or use --host"


def _check_answers(settings: RunSettings, scenario: Scenario) -> Iterator[str]:
    """Connect to each host of an HTTP client once."""
    seen: set[str] = set()
    for user in scenario.users:
        host = settings.host or user.host
        if not user.http or not host or host in seen:
            continue
        seen.add(host)
        if problem := _problem_with(host):
            text = f"the host {mask_secrets(host)} of the user class {user.name} {problem}"
            if _may_be_a_dummy(host, settings, scenario):
                yield f"{text}; requests with absolute URLs do not need it"
            elif user.own_way and not is_demo_scenario(scenario.files):
                yield f"{text}; the scenario may reach it in its own way, through a proxy or by what its listeners do"
            else:
                raise UsageError(text, hint=_CURE if settings.host else _OWN_CURE)


def _problem_with(host: str) -> str | None:
    try:
        parse.http_url(host)
    except ValueError:
        return "is no http:// or https:// address"
    reason = unreachable_because(host)
    return reason and f"cannot be reached: {reason}"


def _may_be_a_dummy(host: str, settings: RunSettings, scenario: Scenario) -> bool:
    """Whether requests may do without this host: Locust takes absolute URLs as they are."""
    is_url = host.lower().startswith(("http://", "https://"))
    return scenario.has_absolute_urls or not (is_url or settings.host)


def _check_describes_itself(host: str) -> None:
    """The demo scenario makes its requests from the model's description."""
    if unreachable_because(host) is None and describe_target(host) is None:
        raise UsageError(
            f"the demo scenario needs a target that describes its model, and {mask_secrets(host)} has no such /info",
            hint="Name your own scenario with -f FILE",
        )
