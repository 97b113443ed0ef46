"""Whether what the documentation tells people to type is understood: by the program's own parser and settings."""

from __future__ import annotations

import argparse
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.__main__ import _parser as inference_parser
from loadstone.capacity.files import add_study_files
from loadstone.cli.arrivals import check_arrivals
from loadstone.cli.common import Parser, Verb, add_results
from loadstone.cli.main import parser, verbs
from loadstone.cli.scenario_line import _own_forms
from loadstone.cli.study_checks import check_question
from loadstone.cli.study_line import _is_of_stack
from loadstone.compose.remote import check_fits_stack
from loadstone.domain.objective import parse_objectives
from loadstone.errors import LoadstoneError
from loadstone.gate.change import parse_change_objectives
from loadstone.hook.locust_settings import _forms, _plain_parser
from loadstone.settings import (
    FILE_RECORDS,
    CapacitySettings,
    CollectorSettings,
    DoctorSettings,
    GrafanaAnnotateSettings,
    GrafanaPushSettings,
    InfluxSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
    describe,
    load,
    parse,
    read_config_file,
)
from loadstone.settings.command_line import OptionForm, divide
from support.docs.blocks import ROOT
from support.docs.commands import Command, commands
from support.docs.compose_words import compose_problems, loadstone_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.docs.blocks import Block

__all__ = ["OWN_OPTIONS", "expanded", "mention_problems", "problems", "settings_of"]

OWN_OPTIONS: Final = (OptionForm(("--my-own-argument",)), OptionForm(("--page",)))
"""Options that the documentation's scenario declares itself (`support.docs.world`)."""
_RECORDS: Final[dict[str, type[Any]]] = {
    "loadstone run": RunSettings,
    "loadstone up": RunSettings,
    "loadstone capacity": CapacitySettings,
    "loadstone worker": WorkerSettings,
    "loadstone collector": CollectorSettings,
    "loadstone usage": UsageSettings,
    "loadstone doctor": DoctorSettings,
    "loadstone grafana push": GrafanaPushSettings,
    "loadstone grafana annotate": GrafanaAnnotateSettings,
    "loadstone influx backfill": InfluxSettings,
    "loadstone influx study": InfluxSettings,
}
"""The settings that a verb with ``--config`` reads."""
_STANDS_FOR: Final = {
    "$SERVICE_PID": "4711",
    "ADDRESS": "192.0.2.10",
    "PORT": "5557",
    "redis://...": "redis://192.0.2.10:6379/0",
}
"""Values for words that a reader replaces."""
_STAMPS: Final = ("-o", ".venv/.run-set", "-o", ".venv/.dev-set", "-o", ".venv/.uv")
_PROGRAM: Final = "bin/loadstone"
_OPEN: Final = frozenset({"|", "...", "VERB", "ACTION"})
"""Words of a mention that stand for any verb or action."""


class Unknown(ValueError):  # noqa: N818  (what a command holds, not a fault of the test)
    """A word of a command that nobody understands."""


def problems(command: Command, folder: Path) -> list[str]:
    """Why a command cannot be right; none if it can. ``folder`` holds the files that commands name."""
    if command.program == "make":
        return list(_problems_of_make(command, folder))
    if command.words[:2] == ("docker", "compose"):
        words = loadstone_words(command)
        return [*compose_problems(command), *(_problems_of_loadstone(words, folder) if words else ())]
    if command.program == "loadstone" or command.words[:1] == ("sudo",):
        at = next(at for at, word in enumerate(command.words) if Path(word).name == "loadstone")
        return _problems_of_loadstone(command.words[at + 1 :], folder)
    if command.words[1:3] == ("-m", "inference"):
        return _problems_of_inference(command.words[3:])
    return []


def settings_of(command: Command, folder: Path) -> Any:
    """The settings record that a command of loadstone gives its verb. Raises `LoadstoneError` and `ValueError`."""
    return _parse([*command.words[1:]], folder)


def _problems_of_make(command: Command, folder: Path) -> Iterator[str]:
    try:
        inner = expanded(command)
    except Unknown as error:
        yield str(error)
        return
    for each in inner:
        if each.program == "loadstone":
            yield from _problems_of_loadstone(each.words[1:], folder)


@cache
def _dry_run(words: tuple[str, ...]) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", *_STAMPS, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unknown(done.stderr.strip())
    return done.stdout


def expanded(command: Command) -> list[Command]:
    """The commands of loadstone that ``make TARGET`` runs. Raises `ValueError` for a target that does not exist."""
    text = _dry_run(command.words[1:])
    lines = [line for line in text.replace("\\\n", " ").splitlines() if _PROGRAM in line]
    block = command.block._replace(language="sh", text="\n".join(lines))
    return [each for each in commands(block) if each.program == "loadstone"]


def _problems_of_inference(words: Sequence[str]) -> list[str]:
    try:
        inference_parser().parse_args([*words])
    except SystemExit:
        return [f"python -m inference does not understand {shlex.join(words)}"]
    return []


def _problems_of_loadstone(words: Sequence[str], folder: Path) -> list[str]:
    given = [_STANDS_FOR.get(word, word) for word in words]
    try:
        _parse(given, folder)
    except (LoadstoneError, ValueError) as error:
        return [str(error)]
    except SystemExit as ended:  # --version and --help
        return [f"loadstone ends with {ended.code}"] if ended.code else []
    return []


def _parse(words: list[str], folder: Path) -> Any:
    """Take a command line apart as `loadstone.cli.main` does, check all of it, and do nothing; its settings, if any."""
    name, *rest = words
    passes_on = any(verb.name == name and verb.passes_arguments_on for verb in verbs())
    options = argparse.Namespace(verb=None)
    parser().parse_args([name] if passes_on else words, options)
    verb: Verb = options.verb
    if name == "capacity" and rest[:1] == ["show"]:
        return _parse_show(rest[1:])
    if passes_on:
        _parse_passing_on(options, rest[1:] if name == "capacity" and rest[:1] == ["plan"] else rest)
    resuming = getattr(options, "resume", None)  # with the options that the study has
    if (prog := options.parser.prog) in _RECORDS and not resuming:
        return _checked_settings(prog, options, folder)
    if hasattr(options, "config") and not resuming:
        raise Unknown(f"tests/support/docs/checks.py does not know the settings of `{prog}`")
    if verb.name == "compare":
        parse_change_objectives(options.objective)
    elif verb.name == "init":
        parse.http_url(options.host)
    return None


def _parse_show(words: list[str]) -> None:
    """The same options as `loadstone.cli.capacity` has for it."""
    show = Parser(prog="loadstone capacity show", allow_abbrev=False)
    show.add_argument("study")
    add_results(show)
    add_study_files(show)
    show.parse_args(words)


def _parse_passing_on(options: argparse.Namespace, words: Sequence[str]) -> None:
    if options.verb.name == "capacity" and _is_of_stack(options, words):
        words = ["--stack", *words]
    division = divide(words, tuple(_own_forms(options.parser)), _locust_forms(), OWN_OPTIONS)
    if division.rest:
        raise Unknown(f"neither loadstone nor Locust nor the scenario knows {shlex.join(division.rest)}")
    options.parser.parse_args([*division.own], options)
    options.passed = tuple(word for each in division.passed for word in each.words)


@cache
def _locust_forms() -> tuple[OptionForm, ...]:
    return _forms(_plain_parser())


def _checked_settings(prog: str, options: argparse.Namespace, folder: Path) -> Any:
    file = read_config_file(folder / options.config if options.config else None)
    shared = {each.name for other in FILE_RECORDS for each in describe(other)}
    settings = load(_RECORDS[prog], vars(options), environ={}, file=file, shared=shared)
    if isinstance(settings, CapacitySettings):
        check_question(settings)
    elif isinstance(settings, RunSettings):
        _check_usage_is_recorded(settings)
        check_arrivals(settings)
        if settings.stack:
            check_fits_stack(settings, options.passed)
    return settings


def _check_usage_is_recorded(settings: RunSettings) -> None:
    """Refuse an objective on CPU or memory of a target whose process is not named, so that the run measures neither."""
    for objective in parse_objectives(settings.objective):
        if objective.service and settings.host and not settings.target_pid and not settings.stack:
            raise Unknown(f"{objective.text} is never measured without --target-pid")


def mention_problems(span: Block) -> list[str]:
    """What is wrong with a command that a sentence mentions, which may be only a part of one.

    Its verb, target or service must exist, and every option of it.
    """
    words = span.text.split()
    if words[:1] == ["make"] and len(words) > 1:
        command = Command(span, (), tuple(shlex.split(span.text)))
        return list(_problems_of_make(command, ROOT)) if "..." not in span.text else []
    if words[:2] == ["docker", "compose"]:
        command = Command(span, (), tuple(shlex.split(span.text)))
        return list(compose_problems(command))
    if Path(words[0]).name == "loadstone" and len(words) > 1:
        return list(_unknown_in_mention(words[1:]))
    return []


def _unknown_in_mention(words: list[str]) -> Iterator[str]:
    known = {verb.name: verb for verb in verbs()}
    names = [word for word in words if not word.startswith("-")]
    if not names or names[0] in _OPEN:
        return
    verb = known.get(names[0])
    if verb is None:
        yield f"loadstone has no verb {names[0]}"
        return
    actions = {action.name: action for action in verb.actions}
    if actions and len(names) > 1 and names[1] not in {*actions, *_OPEN}:
        yield f"loadstone {verb.name} has no action {names[1]}"
        return
    top = argparse.ArgumentParser(prog="loadstone").add_subparsers()
    (actions[names[1]] if actions and len(names) > 1 else verb).add_to(top)  # type: ignore[arg-type]
    own = {name for each in top.choices.values() for name in each._option_string_actions}
    theirs = {name for form in _locust_forms() for name in form.names} if verb.passes_arguments_on else set()
    scenarios = {name for form in OWN_OPTIONS for name in form.names}
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in {*own, *theirs, *scenarios, "--debug"}:
            yield f"loadstone {verb.name} has no option {word}"
