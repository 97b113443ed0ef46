"""The command line of a verb that runs a scenario, whose own options are known only when it has been loaded."""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from loadstone.cli.common import Parser
from loadstone.errors import SettingsError, UsageError
from loadstone.launch.demo_files import default_locustfile
from loadstone.launch.scenario import ask, scenario_of
from loadstone.settings import FILE_RECORDS, RunSettings, describe, load, peek, read_config_file, short_text
from loadstone.settings.command_line import OWN_PREFIX, LineReport, OptionForm, ScenarioQuestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import ScenarioReport

__all__ = ["ScenarioLine", "peek_line", "read_line", "read_line_of_stack"]

T = TypeVar("T")
_MEASURES: Final = frozenset(
    {
        *("objective", "warmup", "steady_state", "target_pid", "find", "at_least", "at_most", "measure", "budget"),
        *("trials", "cpu", "memory", "replicas", "compose_file", "service", "apply", "restore", "apply_timeout"),
        *("price_cpu", "price_memory", "price_replica"),
    }
)
"""Settings that change the verdict: whoever means them must not be guessed."""
_TAGS: Final = {"tags": {"-T", "--tags"}, "exclude_tags": {"-E", "--exclude-tags"}}
_LOCUSTFILE: Final = "--locustfile"
_SHORTEST: Final = "--loc"
"""Shorter ones could stand for other options of Locust, too."""
_SEPARATOR: Final = "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLine(Generic[T]):
    """What a command line says: loadstone's settings and options, the scenario, and what to tell the user."""

    settings: T
    options: argparse.Namespace
    scenario: Scenario
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """The words behind the verb: those before ``--`` and those after it, with the settings files that they name."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    early: argparse.Namespace
    file: dict[str, object]
    locust_config: str | None


def read_line(
    record: type[T],
    arguments: argparse.Namespace,
    words: Sequence[str],
    *,
    worker: bool = False,
    samples_shape: bool = False,
    check: Callable[[T], None] = lambda _: None,
) -> ScenarioLine[T]:
    """Load the scenario and take the command line apart. Raises `UsageError` for what is wrong.

    With ``samples_shape`` the rate of an arrival shape is wanted, if there is one.
    ``check`` raises it for settings that cannot be used; they are checked before the scenario is loaded, too.
    """
    split = _split(arguments.parser, words)
    _check_early(record, arguments, split, check)
    length_s = _length_s(arguments, split) if samples_shape else None
    report = _ask(record, arguments.parser, split, worker=worker, samples_shape=samples_shape, length_s=length_s)
    line = report.line
    by_name = {name: action.dest for action in arguments.parser._actions for name in action.option_strings}  # noqa: SLF001
    _refuse_guesses(line, by_name, ", ".join(report.files))
    options = arguments.parser.parse_args(_without_prefix(line.own), argparse.Namespace(**vars(arguments)))
    _refuse_other_files(options, split.early)
    settings = _settings(record, options, split.file, line)
    check(settings)
    _refuse_other_tags(settings, line)
    notes = tuple(_notes(line, by_name, {each.name: each.env for each in describe(record)}))
    return ScenarioLine(settings=settings, options=options, scenario=scenario_of(report), notes=notes)


def _check_early(record: type[T], arguments: argparse.Namespace, split: _Words, check: Callable[[T], None]) -> None:
    """Report what is wrong whatever the scenario's options are, before its code runs."""
    try:
        known = argparse.Namespace(**vars(arguments))
        options, _ = arguments.parser.parse_known_args(_without_prefix(split.before), known)
    except UsageError:
        return  # an option without its value may be a flag of the scenario
    try:
        settings = _settings(record, options, split.file, LineReport())
    except SettingsError:
        if _is_usable(record, arguments, split):
            return  # the value that is wrong may be the scenario's
        raise
    check(settings)


def _is_usable(record: type[Any], arguments: argparse.Namespace, split: _Words) -> bool:
    """Whether variables and files alone give usable settings."""
    try:
        _settings(record, arguments, split.file, LineReport())
    except SettingsError:
        return False
    return True


def _ask(record: type[Any], parser: argparse.ArgumentParser, split: _Words, **more: Any) -> ScenarioReport:
    files = peek(record, "locustfile", vars(split.early), file=split.file) or ()
    timeout_s = peek(record, "import_timeout", vars(split.early), file=split.file)
    question = ScenarioQuestion(
        command=parser.prog,
        files=tuple(map(str, files)),
        fallback=None if more["worker"] else str(default_locustfile()),
        words=split.before,
        after=split.after,
        own=tuple(_own_forms(parser)),
        locust_config=split.locust_config,
        **more,
    )
    return ask(question) if timeout_s is None else ask(question, timeout_s)


def _length_s(arguments: argparse.Namespace, split: _Words) -> float | None:
    """How long the run is to be, as far as that is known before the scenario is."""
    try:
        options = _known_options(arguments, split)
    except UsageError:  # an option without its value may be a flag of the scenario
        options = arguments
    names = ("run_time", "steady_state", "warmup")
    run_time, steady_s, warmup_s = (peek(RunSettings, name, vars(options), file=split.file) for name in names)
    found: float | None = run_time if run_time is not None or steady_s is None else (warmup_s or 0.0) + steady_s
    return found


def read_line_of_stack(
    record: type[T], arguments: argparse.Namespace, words: Sequence[str]
) -> tuple[T, argparse.Namespace, tuple[str, ...]] | None:
    """Settings, options and unknown words if the run is to be one in a compose stack, whose scenario is not here."""
    split = _split(arguments.parser, words)
    early = vars(split.early)
    files = peek(record, "locustfile", early, file=split.file) or ()
    if any(Path(file).exists() for file in files) or not peek(record, "stack", early, file=split.file):
        return None
    known = argparse.Namespace(**vars(arguments))
    options, rest = arguments.parser.parse_known_args(_without_prefix(split.before), known)
    return _settings(record, options, split.file, LineReport()), options, (*rest, *split.after)


def peek_line(
    record: type[Any], arguments: argparse.Namespace, words: Sequence[str], *names: str
) -> tuple[object, ...]:
    """Some settings before the scenario is known; None for one that is not given, or not valid."""
    split = _split(arguments.parser, words)
    options = _known_options(arguments, split)
    return tuple(peek(record, name, vars(options), file=split.file) for name in names)


def _known_options(arguments: argparse.Namespace, split: _Words) -> argparse.Namespace:
    """Loadstone's options. Raises `UsageError` for one without its value, which may be a flag of the scenario."""
    known = argparse.Namespace(**vars(arguments))
    options: argparse.Namespace = arguments.parser.parse_known_args(_without_prefix(split.before), known)[0]
    return options


def _split(parser: argparse.ArgumentParser, words: Sequence[str]) -> _Words:
    end = words.index(_SEPARATOR) if _SEPARATOR in words else len(words)
    before, after = tuple(words[:end]), tuple(words[end + 1 :])
    if {"-h", "--help"} & set(before):
        parser.parse_args(["--help"])
    if {"-h", "--help"} & set(after):
        raise UsageError("--help starts no test", hint="Run `locust -f FILE --help` for the scenario's own options")
    first = Parser(prog=parser.prog, add_help=False, allow_abbrev=False)
    first.add_argument("-f", "--locustfile", OWN_PREFIX + "locustfile", dest="locustfile", action="append")
    first.add_argument("--config", dest="config")
    first.add_argument(OWN_PREFIX + "config", dest="own_config")
    first.add_argument("--import-timeout", OWN_PREFIX + "import-timeout", dest="import_timeout")
    first.add_argument("--stack", OWN_PREFIX + "stack", dest="stack", action="store_const", const="yes")
    early, _ = first.parse_known_args([_in_full(word) for word in before])
    given, own = early.config, early.own_config
    is_locusts = given is not None and _is_locusts(Path(given))
    file = own or (None if is_locusts else given)
    return _Words(
        before=before,
        after=after,
        early=early,
        file=read_config_file(Path(file) if file else None),
        locust_config=given if is_locusts or own else None,
    )


def _in_full(word: str) -> str:
    """``--locustfile`` in full where it is abbreviated, as Locust takes it unless the scenario declares a like name."""
    name, equals, value = word.partition("=")
    is_short = name.startswith(_SHORTEST) and _LOCUSTFILE.startswith(name)
    return f"{_LOCUSTFILE}{equals}{value}" if is_short else word


def _refuse_other_files(options: argparse.Namespace, early: argparse.Namespace) -> None:
    """The scenario was loaded by an early look at the line; the whole line must name the same."""
    if (options.locustfile or []) != (early.locustfile or []):
        raise UsageError(
            "it is not certain which Locust file is meant", hint=f"Write {_LOCUSTFILE} and other options in full"
        )


def _is_locusts(file: Path) -> bool:
    """Whether a file given with ``--config`` is for Locust: its name does not end with .toml, or it has its table."""
    if file.suffix != ".toml":
        return True
    try:
        tool = tomllib.loads(short_text(file)).get("tool")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return isinstance(tool, dict) and "locust" in tool


def _own_forms(parser: argparse.ArgumentParser) -> Iterator[OptionForm]:
    for action in parser._actions:  # noqa: SLF001  (argparse has no public list)
        long = [OWN_PREFIX + name.removeprefix("--") for name in action.option_strings if name.startswith("--")]
        if action.option_strings:
            yield OptionForm((*action.option_strings, *long), action.nargs)


def _without_prefix(words: Sequence[str]) -> list[str]:
    return ["--" + word.removeprefix(OWN_PREFIX) if word.startswith(OWN_PREFIX) else word for word in words]


def _settings(record: type[T], options: argparse.Namespace, file: dict[str, object], line: LineReport) -> T:
    values = dict(vars(options))
    for each in line.adopted:
        if each.on_command_line and values.get(each.setting) is not None:
            raise UsageError(
                f"{each.setting} is given twice: {values[each.setting]}, and {each.value} with {each.origin}",
                hint="Give it once",
            )
        if each.on_command_line and each.setting in values:
            values[each.setting] = each.value
    shared = {each.name for other in FILE_RECORDS for each in describe(other)}
    adopted = {each.setting: (each.value, each.origin) for each in line.adopted}
    return load(record, values, file=file, shared=shared, adopted=adopted)


def _refuse_guesses(line: LineReport, by_name: dict[str, str], scenario: str) -> None:
    for name in line.yielded:
        if by_name.get(name) in _MEASURES:
            raise UsageError(
                f"{name} is an option of loadstone and of the scenario {scenario}",
                hint=f"Write {_prefixed(name)} for loadstone's; for the scenario's, write it behind a separate --",
            )


def _refuse_other_tags(settings: object, line: LineReport) -> None:
    """Tags behind ``--`` are Locust's option, which loadstone's own would replace without a word."""
    given = {word.partition("=")[0] for word in line.arguments}
    for setting, names in _TAGS.items():
        if getattr(settings, setting, ()) and names & given:
            option = "--" + setting.replace("_", "-")
            raise UsageError(f"{option} is given twice, behind -- too", hint="Give it once, with all tags")


def _notes(line: LineReport, by_name: dict[str, str], variables: dict[str, str]) -> Iterator[str]:
    for name in line.yielded:
        variable = variables.get(by_name.get(name, ""))
        other = f" (or {variable})" if variable else ""
        yield f"the scenario declares {name}, so it gets it; loadstone's own is {_prefixed(name)}{other}"
    if line.ignored:
        yield f"settings of Locust that loadstone controls itself were ignored: {', '.join(line.ignored)}"


def _prefixed(name: str) -> str:
    return OWN_PREFIX + name.lstrip("-")
