"""``loadstone run``: one load test with a verdict; ``loadstone up``: the platform with Locust's web UI."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.cli.arrivals import check_arrivals, notes_of_arrivals, with_arrivals
from loadstone.cli.common import StopFlag, Verb, add_options, recover_command, say
from loadstone.cli.scenario_line import read_line, read_line_of_stack
from loadstone.cli.tagging import registry_for
from loadstone.domain.objective import parse_objectives
from loadstone.errors import ArchiveError, ExitCode, LoadstoneError, UnreadableRunError
from loadstone.gate.files import add_gate_options, check_gate_options, write_gate_files
from loadstone.gate.verdict_report import report_of_run
from loadstone.launch.local import LocalStack
from loadstone.launch.preflight import preflight
from loadstone.launch.reachable import wait_until_reachable
from loadstone.launch.stream_store import kept_streams
from loadstone.launch.supervisor import RunSupervisor
from loadstone.launch.valkey import LOOPBACK
from loadstone.registry.run_report import report_of
from loadstone.report.live_view import PlainView, open_view
from loadstone.report.terminal import print_summary
from loadstone.settings import RunSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from loadstone.archive.folder import RunFolder
    from loadstone.cli.scenario_line import ScenarioLine
    from loadstone.report.live_view import View

__all__ = ["RUN", "UP", "telling_what_is_kept"]


def _configure_run(parser: argparse.ArgumentParser) -> None:
    add_options(parser, RunSettings)
    add_gate_options(parser)


def _run(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Run, show, archive, judge. The exit code is the verdict's (see `loadstone.errors.ExitCode`)."""
    stop = StopFlag.install()
    if in_stack := read_line_of_stack(RunSettings, arguments, words):
        settings, options, rest = in_stack
        check_arrivals(settings)
        settings = with_arrivals(settings) if settings.rate else settings
        check_gate_options(options)
        registry = registry_for(settings, None)
        folder = _run_in_stack(settings, rest, stop)
    else:
        line = _line(arguments, words, stop, is_one_run=True)
        if line is None:
            return ExitCode.INTERRUPTED
        options, settings = line.options, line.settings
        check_gate_options(options)
        if line.settings.stack:
            from loadstone.compose.remote import check_fits_stack  # noqa: PLC0415  (see `_run_in_stack`)

            check_fits_stack(line.settings, line.scenario.arguments)
        registry = registry_for(settings, line.scenario)
        folder = _run_here(line, stop)
    if folder is None:
        return ExitCode.INTERRUPTED
    try:
        code = print_summary(folder)
        run = ClosedRun.open(folder)
        write_gate_files(options, report_of_run(run.record))
        if registry:
            say(registry.write(report_of(run), settings.tagged_model))
    except UnreadableRunError as error:  # not what was asked for is wrong, but what came of it
        raise ArchiveError(error.message, hint=error.hint) from error
    return code


def _line(
    arguments: argparse.Namespace, words: tuple[str, ...], stop: StopFlag, *, is_one_run: bool
) -> ScenarioLine[RunSettings] | None:
    """Load the scenario and read the line; None when that was interrupted."""
    try:
        with stop.interrupting():
            line = read_line(RunSettings, arguments, words, samples_shape=is_one_run, check=_check)
            is_open = line.settings.rate or line.scenario.arrival_shape
            notes = (*line.notes, *(notes_of_arrivals(line.scenario) if is_open else ()))
            return replace(line, settings=with_arrivals(line.settings, line.scenario), notes=notes)
    except KeyboardInterrupt:
        return None


def _check(settings: RunSettings) -> None:
    parse_objectives(settings.objective)
    check_arrivals(settings)


def _run_in_stack(settings: RunSettings, rest: tuple[str, ...], stop: StopFlag) -> RunFolder | None:
    """Run in the compose stack that is up."""
    from loadstone.compose.remote import (  # noqa: PLC0415  (importing its HTTP client takes 0.2 s)
        StackRun,
        check_fits_stack,
    )

    check_fits_stack(settings, rest)
    with open_view(plain=settings.plain) as view:
        return StackRun(settings, view, lambda: stop.count).drive()


def _run_here(line: ScenarioLine[RunSettings], stop: StopFlag) -> RunFolder | None:
    """Start every process on this machine for one run; None when it was interrupted before it began."""
    settings = line.settings
    scenario = preflight(settings, line.scenario)
    with telling_what_is_kept(LocalStack(settings, scenario)) as stack, open_view(plain=settings.plain) as view:
        _note_kept_streams(settings, view)
        _note_all(line.notes, view)
        stack.start(stop)
        if stop():
            return None
        _note_page("live page", stack.live_url, stack, view, stop)
        workers = f"{settings.workers} worker{'' if settings.workers == 1 else 's'}"
        view.note(f"target {stack.targets}, {workers}, scenario {', '.join(map(str, scenario.files))}")
        if settings.run_time is not None and scenario.shape and not scenario.shape_takes_options:
            view.note(f"--run-time has no effect: the load shape {scenario.shape} decides how long the run lasts")
        _note_all(scenario.notes, view)
        _note_join_command(stack, view)
        return RunSupervisor(stack, view, lambda: stop.count).conduct()


def _up(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Serve until asked to stop; a run in progress then is ended and archived."""
    stop = StopFlag.install()
    line = _line(arguments, words, stop, is_one_run=False)
    if line is None:
        return ExitCode.INTERRUPTED
    settings = line.settings
    scenario = preflight(settings, line.scenario, interactive=True)
    with telling_what_is_kept(LocalStack(settings, scenario, interactive=True)) as stack, PlainView() as view:
        _note_kept_streams(settings, view)
        _note_all(line.notes, view)
        stack.start(stop)
        if not stop():
            _note_page("Locust's web UI", stack.web_url, stack, view, stop)
            view.note(f"target: {stack.targets}")
            _note_all(scenario.notes, view)
            _note_page("live page", stack.live_url, stack, view, stop)
            view.note(f"runs are archived in {settings.results}; press Ctrl-C to stop")
            _note_join_command(stack, view)
            RunSupervisor(stack, view, lambda: stop.count).serve()
    return ExitCode.PASS


@contextmanager
def telling_what_is_kept(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack, as a context; with what it keeps and how to have it archived, said last."""
    try:
        with stack:
            yield stack
    except LoadstoneError as error:
        if stack.kept is not None:
            error.hint = f"{error.hint.rstrip('.')}. {_kept(stack)}".removeprefix(". ")
        raise
    if stack.kept is not None:
        sys.stderr.write(f"loadstone: {_kept(stack)}\n")


def _kept(stack: LocalStack) -> str:
    command = recover_command(stack.settings.results)
    return f"What no archive has is kept in {stack.kept}. Once the cause is gone, this archives it: {command}"


def _note_kept_streams(settings: RunSettings, view: View) -> None:
    """Say that earlier starts left something for these results; what is in use is not looked at."""
    kept = kept_streams(settings.results.resolve())
    for each in kept:
        each.release()
    if kept:
        view.note(f"entries of earlier runs are kept in {', '.join(str(each.path) for each in kept)}:")
        view.note(f"{recover_command(settings.results)} puts them into their runs")


def _note_all(notes: tuple[str, ...], view: View) -> None:
    for note in notes:
        view.note(note)


def _note_page(name: str, url: str, stack: LocalStack, view: View, stop: StopFlag) -> None:
    """Show the address of a page, once it answers; nothing if it is not wanted any more, or a process has ended."""

    def gives_up() -> bool:
        return bool(stop()) or not all(each.alive for each in stack.processes())

    answers = wait_until_reachable(url, gives_up)
    if answers or not gives_up():
        view.note(f"{name}: {url}{'' if answers else ' (it does not answer yet)'}")


def _note_join_command(stack: LocalStack, view: View) -> None:
    """Show how workers elsewhere join, where they can reach this machine."""
    if stack.remote_redis_url and stack.settings.bind not in LOOPBACK:
        view.note(stack.join_command())


_NOTES: Final = (
    "Options that are not listed here go to Locust or the scenario, and so does all that follows a separate --."
    " An option that the scenario declares itself is the scenario's; loadstone's own is then --loadstone-OPTION."
)
RUN: Final = Verb(
    name="run",
    help="Run a load test on this machine, or with --stack in a running compose stack, and judge it.",
    notes=_NOTES,
    configure=_configure_run,
    execute=_run,
    passes_arguments_on=True,
    outlives_output=True,
)
UP: Final = Verb(
    name="up",
    help="Start the platform with Locust's web UI and keep it running; each run started there is archived.",
    notes=_NOTES,
    configure=lambda parser: add_options(parser, RunSettings),
    execute=_up,
    passes_arguments_on=True,
    outlives_output=True,
)
