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


def _wait_to_be_let_go() -> None:
    """Wait until the program that started this process lets it start Locust, and take in what is known by then."""
    from loadstone.errors import SettingsError  # noqa: PLC0415
    from loadstone.settings import HookSettings, load, take_in_variables  # noqa: PLC0415

    starter = os.getppid()
    with contextlib.suppress(SettingsError):  # said when Locust initialises the hook
        held_until = load(HookSettings).held_until
        while held_until and not held_until.exists():
            if os.getppid() != starter:
                sys.exit("the program that started this process has ended")
            time.sleep(_LOOK_EVERY_S)
        if held_until:
            take_in_variables(held_until)


def _with_hidden_arguments() -> None:
    """Let Locust and the scenario find those of its arguments that no command line shows where they look for all."""
    from loadstone.errors import SettingsError  # noqa: PLC0415
    from loadstone.settings import HookSettings, load  # noqa: PLC0415

    with contextlib.suppress(SettingsError):  # said when Locust initialises the hook
        sys.argv[1:1] = load(HookSettings).locust_arguments or ()


if __name__ == "__main__":
    prepare("loadstone.hook.install", "loadstone.lean")
    _wait_to_be_let_go()
    _with_hidden_arguments()

    from locust import main

    _with_whole_paths(main)
    sys.exit(main.main())
