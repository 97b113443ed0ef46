"""The hook: records every request of the scenario beside which it is loaded. `install` attaches it to Locust."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import MasterRunner, WorkerRunner

from loadstone.domain.masking import keep_secrets, mask_secrets
from loadstone.errors import ExitCode, LoadstoneError, SettingsError
from loadstone.hook import control_api, default_options, living_users, web_connections, web_form, web_guard, web_ui
from loadstone.hook.arrival_plan import ANSWER, PLAN
from loadstone.hook.default_host import ClassHosts, give_default_host
from loadstone.hook.inspect_scenario import PLUGIN_FILE, scenario_files
from loadstone.hook.locust_settings import use_options_only
from loadstone.hook.master import MasterHook, quit_gracefully
from loadstone.hook.shape_signal import end_shape_on_sigterm
from loadstone.hook.worker import WorkerHook, touch_heartbeat_file
from loadstone.lean import connections, locust_fast
from loadstone.settings import HookSettings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment
    from locust.event import EventHook, Events

__all__ = ["install"]

_INIT_POLL_S: Final = 0.002
log = logging.getLogger("loadstone.hook")


def install(events: Events) -> None:
    """Listen to Locust's events, of which every process has one set."""
    gevent.get_hub().loop.update_now()  # it stands still during imports, and Locust's first timers would end early
    hook = _Hook()
    events.init_command_line_parser.add_listener(_read_options_only)
    events.init_command_line_parser.add_listener(_add_form_fields)
    events.init.add_listener(lambda environment, **_: hook.initialise(environment))
    _listen_first(events.test_start, lambda environment, **_: hook.begin(environment))
    events.quit.add_listener(lambda exit_code, **_: hook.quit(exit_code))
    _hide_from_pytest()


def _read_options_only(parser: Any) -> None:
    with suppress(SettingsError):  # said when Locust initialises the hook
        words = load(HookSettings).locust_words
        if words is not None:
            use_options_only(parser, words)


def _add_form_fields(parser: Any) -> None:
    with suppress(SettingsError):
        settings = load(HookSettings)
        if settings.redis_url is not None:
            web_form.add_fields(parser, settings)


def _hide_from_pytest() -> None:
    """If no file has a user class, Locust lets pytest collect all of them, which would load this one a second time."""
    main: Any = sys.modules.get("locust.main")
    if main is not None:
        collect = main.load_locustfile_pytest
        main.load_locustfile_pytest = lambda path: {} if Path(path).name == PLUGIN_FILE.name else collect(path)


class _Hook:
    """The hooks that this process needs: a master's, a worker's, or both."""

    def __init__(self) -> None:
        self._initialised = False
        self._hooks: list[MasterHook | WorkerHook] = []
        self._hosts: ClassHosts | None = None
        self._end: gevent.Greenlet[..., Any] | None = None

    def initialise(self, environment: Environment) -> None:
        """Locust has made its runner: attach what belongs to it, unless there is no stream to record to."""
        with _usable_or_ended():
            self._initialise(environment)
        self._initialised = True
        gevent.get_hub().loop.update_now()  # Locust's --run-time would count from before the imports

    def _initialise(self, environment: Environment) -> None:
        settings = load(HookSettings)
        environment.locustfile = _display_name(environment)
        if not settings.masking:
            keep_secrets()
        if settings.redis_url is None:
            log.warning("recording=no cause='LOADSTONE_REDIS_URL is not set'")
        else:
            connections.install()
            locust_fast.install(environment, enabled=settings.fast_http_fix)
            self._attach(environment, settings, settings.redis_url)

    def begin(self, environment: Environment) -> None:
        """A test starts. To a worker that joins a run this can happen before Locust has initialised it: then wait."""
        while not self._initialised:
            gevent.sleep(_INIT_POLL_S)
        if self._hosts is not None:
            self._hosts.begin(environment)
        with _usable_or_ended():
            for hook in self._hooks:
                hook.begin()

    def end(self, environment: Environment) -> None:
        """All users have stopped, and listeners of the scenario have run: a worker's last batch goes before a report.

        A user whose task ends the run is here itself, and would be killed where it waits, before Locust has ended: the
        work is for a greenlet of its own, and `quitting` waits for it. A run may be stopped twice at once, as by a
        timer of the scenario beside the master: the second stop waits for the work of the first.
        """
        if self._end is None or self._end.ready():
            self._end = gevent.spawn(self._end_all)
        users: Any = environment.runner.user_greenlets if environment.runner else ()
        if gevent.getcurrent() not in users:
            self._end.get()

    def quitting(self, environment: Environment) -> None:
        """The process ends. A worker stops its users before it takes leave of its master, which listens until then."""
        runner = environment.runner
        if isinstance(runner, WorkerRunner) and any(hook.is_recording for hook in self._hooks):
            runner.stop()
        if self._end is not None:
            self._end.join()
        for hook in self._hooks:
            hook.outcome.give_back()

    def quit(self, exit_code: object) -> None:
        """All listeners of the scenario have run: Locust has decided with which code it exits."""
        self._end_all()
        for hook in reversed(self._hooks):
            hook.quit(exit_code)

    def _end_all(self) -> None:
        for hook in reversed(self._hooks):
            hook.end()

    def _attach(self, environment: Environment, settings: HookSettings, redis_url: str) -> None:
        """A plain process is both: the run has an id before it is recorded, and ends after its last sample."""
        runner = environment.runner
        give_default_host(environment, settings.default_host)
        self._hosts = ClassHosts(environment)
        if not isinstance(runner, MasterRunner):
            self._hooks.append(_attach_worker(environment, WorkerHook(environment, redis_url)))
        if isinstance(runner, WorkerRunner):
            default_options.install()
            living_users.install(environment, runner)
            if settings.heartbeat_file:
                gevent.spawn(touch_heartbeat_file, runner, settings.heartbeat_file)
        if not isinstance(runner, WorkerRunner):
            self._hooks.insert(0, _attach_master(environment, settings, MasterHook(environment, settings, redis_url)))
        if isinstance(runner, MasterRunner):
            quit_gracefully(runner)
        environment.events.test_stop.add_listener(lambda **_: self.end(environment))
        environment.events.quitting.add_listener(lambda **_: self.quitting(environment))


@contextmanager
def _usable_or_ended() -> Iterator[None]:
    """End the process when the hook fails: Locust only logs what a listener raises, and would go on unrecorded."""
    try:
        yield
    except LoadstoneError as error:
        log.critical("recording=failed cause=%r", mask_secrets(str(error)))
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        log.critical("recording=failed cause=%r", mask_secrets(str(error)), exc_info=True)
        raise SystemExit(ExitCode.PLATFORM) from error


def _attach_master(environment: Environment, settings: HookSettings, hook: MasterHook) -> MasterHook:
    events = environment.events
    events.spawning_complete.add_listener(lambda user_count, **_: hook.ramp_done(user_count))
    events.test_stopping.add_listener(lambda **_: hook.stopping())
    if environment.runner is not None:
        environment.runner.register_message(ANSWER, lambda msg, **_: hook.take_answer(msg))
    if environment.runner is not None and environment.shape_class is not None:
        end_shape_on_sigterm(environment.runner, hook.signalled)
    if environment.web_ui is not None:
        web_guard.install(environment.web_ui, settings)
        if settings.web_guard == "all":
            web_connections.install()
        web_form.install(environment.web_ui)
        live = web_ui.install(environment.web_ui, settings)
        if isinstance(environment.runner, MasterRunner):
            control_api.install(environment.web_ui, hook, live)
    return hook


def _attach_worker(environment: Environment, hook: WorkerHook) -> WorkerHook:
    events = environment.events
    if environment.runner is not None:
        environment.runner.register_message(PLAN, lambda msg, **_: hook.take_plan(msg))
    hook.watch_users()
    events.test_stopping.add_listener(lambda **_: hook.stopping())
    events.user_error.add_listener(lambda exception, tb, **_: hook.user_error(exception, tb))
    return hook


def _listen_first(hook: EventHook, listener: Callable[..., Any]) -> None:
    """Add a listener that runs before those of the scenario."""
    hook.add_listener(listener)
    hook._handlers.insert(0, hook._handlers.pop())  # noqa: SLF001  (Locust has no public order)


def _display_name(environment: Environment) -> str:
    """Locust shows its first file's name; that should be the scenario's, not the hook's."""
    files = scenario_files(environment.parsed_locustfiles or ())
    return os.path.basename(files[0]) if files else str(environment.locustfile)  # noqa: PTH119
