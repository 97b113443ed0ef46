"""Start everything with Locust's web UI and stay; runs started there are archived, one folder each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.launch.local import LocalStack
from loadstone.launch.preflight import preflight
from loadstone.launch.supervisor import RunSupervisor
from loadstone.report.live_view import PlainView
from loadstone.settings import RunSettings

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, RunSettings)


def execute(arguments: argparse.Namespace, rest: tuple[str, ...]) -> int:
    """Serve until asked to stop; a run that is going on then is ended and archived."""
    settings = settings_from(RunSettings, arguments)
    stop = StopFlag.install()
    scenario = preflight(settings, rest, interactive=True)
    with LocalStack(settings, scenario, interactive=True) as stack, PlainView() as view:
        stack.start(stop)
        if not stop():
            view.note(f"Locust's web UI: http://{settings.bind}:{settings.web_port}  target: {stack.host}")
            view.note(f"live page: {stack.live_url}")
            view.note(f"runs are archived in {settings.results}; Ctrl-C ends")
            if stack.remote_redis_url and settings.bind != "127.0.0.1":
                view.note(stack.join_command())
            RunSupervisor(stack, view, lambda: stop.count).serve()
    return 0
