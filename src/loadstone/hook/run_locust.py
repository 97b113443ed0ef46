"""Runs Locust as its console script does, with everything that loadstone needs imported before the scenario.

``python -P -m loadstone.hook.run_locust ARGUMENT...``; the plugin among the Locust files attaches the hook as ever.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import sysconfig
import time
from typing import Any, Final

__all__ = ["prepare"]

_LOOK_EVERY_S: Final = 0.01
_EAGER_S: Final = 4.0
"""From five seconds on, Locust logs every look."""


def prepare(*modules: str) -> None:
    """Make this process what the console script ``locust`` makes of one, then import these modules of loadstone."""
    scripts = sysconfig.get_path("scripts")
    sys.path.insert(0, scripts)
    sys.argv[0] = os.path.join(scripts, "locust")  # noqa: PTH118  (pathlib may be the scenario's)
    importlib.import_module("locust.main")  # first: what it imports counts as Locust's

    from loadstone.hook.import_guard import guard_scenarios, own_imports  # noqa: PLC0415

    with own_imports():
        for module in modules:
            importlib.import_module(module)
    guard_scenarios()


def _with_whole_paths(main: Any) -> None:
    """Let ``-f`` name a file whose path contains a comma, at which Locust splits."""
    from locust.argument_parser import parse_locustfile_paths  # noqa: PLC0415

    from loadstone.settings import parse  # noqa: PLC0415

    locally = main.get_locustfiles_locally

    def named(options: Any) -> Any:
        if options.locustfile == "-":
            return locally(options)
        return parse_locustfile_paths(parse.paths_of_locust(options.locustfile))

    main.get_locustfiles_locally = named


def _with_what_started_it() -> None:
    """Wait until the program that started this process lets it go on, and let Locust find its hidden arguments.

    No command line shows those; Locust and the scenario look for them where they look for all.
    """
    from loadstone.errors import SettingsError  # noqa: PLC0415
    from loadstone.settings import HookSettings, load, take_in_variables  # noqa: PLC0415

    with contextlib.suppress(SettingsError):  # said when Locust initialises the hook
        settings = load(HookSettings)
        sys.argv[1:1] = settings.locust_arguments or ()
        if settings.held_until:
            while not settings.held_until.exists():
                time.sleep(_LOOK_EVERY_S)
            take_in_variables(settings.held_until)


class _EagerTime:
    """The module ``time`` as Locust's main module sees it while its master waits for workers.

    Locust looks once a second whether they have joined, which they do within a tenth of one.
    """

    def __init__(self) -> None:
        self._eager_until_s: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        now_s = time.monotonic()
        self._eager_until_s = self._eager_until_s or now_s + _EAGER_S
        time.sleep(min(seconds, _LOOK_EVERY_S) if now_s < self._eager_until_s else seconds)


def _with_eager_looks(main: Any) -> None:
    """Let a master that expects workers look for them often at first."""
    if "--expect-workers" in sys.argv:
        main.time = _EagerTime()


if __name__ == "__main__":
    prepare("loadstone.hook.install", "loadstone.lean")
    _with_what_started_it()

    from locust import main

    _with_whole_paths(main)
    _with_eager_looks(main)
    sys.exit(main.main())
