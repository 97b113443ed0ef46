"""The hook: what is added beside a scenario so that every request is recorded. `install` is all it takes."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from locust.runners import MasterRunner, WorkerRunner

from loadstone.locustio import connections, fasthttp_liveness
from loadstone.locustio.inspect_scenario import scenario_files
from loadstone.locustio.master import MasterHook, quit_gracefully
from loadstone.locustio.worker import WorkerHook
from loadstone.settings import HookSettings, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.event import EventHook, Events

__all__ = ["PLUGIN_FILE", "install"]

PLUGIN_FILE: Final = Path(__file__).with_name("plugin") / "loadstone_hook.py"
"""The Locust file to put beside the scenario's: ``locust -f loadstone_hook.py,scenario.py``."""
log = logging.getLogger("loadstone.hook")


def install(events: Events) -> None:
    """Listen to Locust's events, of which every process has one set. The rest happens when Locust is initialised."""

    def on_init(environment: Environment, **_: Any) -> None:
        settings = load(HookSettings)
        environment.locustfile = _display_name(environment)
        if settings.redis_url is None:
            log.warning("recording=no cause='LOADSTONE_REDIS_URL is not set'")
            return
        connections.install()
        fasthttp_liveness.install(environment, enabled=settings.fast_http_mend)
        _attach(environment, settings, settings.redis_url)

    events.init.add_listener(on_init)


def _attach(environment: Environment, settings: HookSettings, redis_url: str) -> None:
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        _attach_worker(environment, WorkerHook(environment, redis_url))
    if not isinstance(runner, WorkerRunner):  # a plain process is both; its run gets an id before it is recorded
        _attach_master(environment, MasterHook(environment, settings, redis_url))
    if isinstance(runner, MasterRunner):
        quit_gracefully(runner)


def _attach_master(environment: Environment, hook: MasterHook) -> None:
    events = environment.events
    _listen_first(events.test_start, lambda **_: hook.begin())
    events.spawning_complete.add_listener(lambda user_count, **_: hook.ramp_done(user_count))
    events.test_stopping.add_listener(lambda **_: hook.stopping())
    events.test_stop.add_listener(lambda **_: hook.end())


def _attach_worker(environment: Environment, hook: WorkerHook) -> None:
    events = environment.events
    hook.watch_users()
    _listen_first(events.test_start, lambda **_: hook.begin())
    events.test_stopping.add_listener(lambda **_: hook.stopping())
    events.user_error.add_listener(lambda exception, tb, **_: hook.user_error(exception, tb))
    events.test_stop.add_listener(lambda **_: hook.end())


def _listen_first(hook: EventHook, listener: Callable[..., Any]) -> None:
    """Add a listener that runs before those of the scenario."""
    hook.add_listener(listener)
    hook._handlers.insert(0, hook._handlers.pop())  # noqa: SLF001  (Locust has no public order)


def _display_name(environment: Environment) -> str:
    """Locust shows its first file's name; that should be the scenario's, not the hook's."""
    files = scenario_files(environment.parsed_locustfiles or ())
    return os.path.basename(files[0]) if files else str(environment.locustfile)  # noqa: PTH119
