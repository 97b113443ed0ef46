"""Run a load test here or, with --stack, in the compose stack that is up, and judge it.

Arguments not listed here go to the scenario: its own custom arguments work as they do with Locust.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun
from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.compose.remote import StackRun, check_fits_stack
from loadstone.errors import ExitCode
from loadstone.gate.files import add_gate_options, check_gate_options, write_gate_files
from loadstone.gate.verdict_report import report_of_run
from loadstone.launch.local import LocalStack
from loadstone.launch.preflight import preflight
from loadstone.launch.supervisor import RunSupervisor
from loadstone.report.live_view import PlainView, open_view
from loadstone.report.terminal import print_summary
from loadstone.settings import RunSettings

if TYPE_CHECKING:
    import argparse

    from loadstone.archive.folder import RunFolder

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, RunSettings)
    add_gate_options(parser)


def execute(arguments: argparse.Namespace, rest: tuple[str, ...]) -> int:
    """Run, show, archive, judge. The exit code says what came of it (see `loadstone.errors.ExitCode`)."""
    settings = settings_from(RunSettings, arguments)
    check_gate_options(arguments)
    stop = StopFlag.install()
    folder = _drive_stack(settings, rest, stop) if settings.stack else _run_here(settings, rest, stop)
    if folder is None:
        return ExitCode.INTERRUPTED
    write_gate_files(arguments, report_of_run(ClosedRun.open(folder).record))
    return print_summary(folder)


def _drive_stack(settings: RunSettings, rest: tuple[str, ...], stop: StopFlag) -> RunFolder | None:
    """A run of the stack that is up."""
    check_fits_stack(settings, rest)
    with PlainView() as view:
        return StackRun(settings, view, stop).drive()


def _run_here(settings: RunSettings, rest: tuple[str, ...], stop: StopFlag) -> RunFolder | None:
    """A run of processes started for it."""
    scenario = preflight(settings, rest)
    with LocalStack(settings, scenario) as stack, open_view(plain=settings.plain) as view:
        stack.start(stop)
        if stop():
            return None
        view.note(f"live page {stack.live_url}")
        view.note(f"target {stack.host}, {settings.workers} workers, scenario {', '.join(map(str, scenario.files))}")
        if stack.remote_redis_url and settings.bind != "127.0.0.1":
            view.note(stack.join_command())
        return RunSupervisor(stack, view, lambda: stop.count).conduct()
