"""Settings that Locust reads by itself: its command line, ``LOCUST_...`` variables and configuration files.

They are read once, by Locust's own parser, before a run. What loadstone has a setting for is adopted, what it controls
itself is ignored, and the rest goes to Locust's processes as options, so that all of them get the same.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadstone.errors import UsageError
from loadstone.settings import FORMER_NAMES
from loadstone.settings.command_line import Adopted, LineReport, OptionForm, divide

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from loadstone.settings.command_line import Given, ScenarioQuestion

__all__ = ["read_line", "refuse_former_options", "use_options_only"]

_ADOPTED: Final = {
    "num_users": "users",
    "spawn_rate": "spawn_rate",
    "run_time": "run_time",
    "host": "host",
    "stop_timeout": "stop_timeout",
    "web_port": "web_port",
}
"""Settings of loadstone by the names of Locust's."""
_ADOPTED_BY_WORKER: Final = {"master_host": "master", "master_port": "master_port"}
_MASTER_ONLY: Final = frozenset(
    {
        *("csv_prefix", "stats_history_enabled", "html_file", "json_file"),
        *("web_host_display_name", "web_base_path", "web_login", "tls_cert", "tls_key", "class_picker", "build_path"),
        "exit_code_on_error",
    }
)
"""What is for the master alone: several workers would overwrite each other's files, and it judges the whole run."""
_IGNORED: Final = frozenset(
    {
        *("headless", "headful", "autostart", "autoquit", "master", "worker", "only_summary", "print_stats", "json"),
        *("master_bind_host", "master_bind_port", "master_host", "master_port", "web_host"),
        *("expect_workers", "expect_workers_max_wait", "enable_rebalancing"),
        *("logfile", "reset_stats"),
    }
)
"""What loadstone controls itself. Statistics that are reset would not agree with the archive, which has a window."""
_AS_IT_IS: Final = frozenset({"headless", "only_summary"})
"""Ignored without a word: it is what happens."""
_NOT_BEFORE: Final = ("command_line", "defaults")
"""What configargparse calls sources that are no variable and no file."""
_FILES: Final = frozenset({"locustfile", "config"})
_REFUSED: Final = {
    "processes": "loadstone starts the workers itself: say how many with --workers N",
    "list_commands": "It starts no test: run `locust -f FILE --list`",
    "show_task_ratio": "It starts no test: run `locust -f FILE --show-task-ratio`",
    "show_task_ratio_json": "It starts no test: run `locust -f FILE --show-task-ratio-json`",
    "version": "It starts no test: run `locust --version`",
}


class _Setting(NamedTuple):
    """One setting that Locust was given, the words that give it as an option, and where it comes from."""

    dest: str
    words: tuple[str, ...]
    origin: str
    on_command_line: bool


def read_line(question: ScenarioQuestion, parser: Any, *, is_loaded: bool = True) -> tuple[LineReport, Any]:
    """The command line taken apart, and Locust's options. ``parser`` is Locust's with the scenario's own options.

    Unless the scenario ``is_loaded``, words that Locust does not know are passed on as they are.

    Raises `UsageError` for words that neither Locust nor the scenario understands, or that cannot be used here.
    """
    plain = _plain_parser()
    theirs = {action.dest for action in plain._actions}  # noqa: SLF001  (argparse has no public list)
    known = {name for form in _forms(plain) for name in form.names}
    scenario = [form for form in _forms(parser) if not known & set(form.names)]
    before = divide(question.words, question.own, _forms(plain), scenario)
    after = divide(question.after, (), _forms(plain), scenario)
    rest, passed = (*before.rest, *after.rest), (*before.passed, *after.passed)
    on_line = list(_given_on_line(parser, passed))
    _refuse(on_line, question)
    options = _parsed(parser, _words_of(question, rest, passed), question.command, strict=is_loaded)
    given = [*_given_before(parser), *on_line]
    _refuse([each for each in given if getattr(options, each.dest, None)], question)
    adopted = _ADOPTED_BY_WORKER if question.worker else _ADOPTED
    kept = [each for each in given if each.dest not in {*adopted, *_ADOPTED, *_IGNORED, *_FILES} & theirs]
    shared = [each for each in kept if each.dest not in _MASTER_ONLY & theirs]
    report = LineReport(
        own=before.own,
        arguments=(*(rest or options.user_classes), *_words(each for each in shared if each.on_command_line)),
        unlisted=_words(each for each in shared if not each.on_command_line),
        master_arguments=_words(each for each in kept if each.dest in _MASTER_ONLY & theirs),
        adopted=tuple(_adopted(adopted, options, plain, given)),
        ignored=tuple(_ignored(given, theirs, adopted)),
        yielded=before.yielded,
    )
    return report, options


def refuse_former_options(words: Sequence[str]) -> None:
    """Raise `UsageError` for an option of loadstone that was renamed."""
    for word in words:
        name = word.partition("=")[0]
        former = name.removeprefix("--").replace("-", "_")
        if name.startswith("--") and former in FORMER_NAMES:
            now = FORMER_NAMES[former].replace("_", "-")
            raise UsageError(f"{name} is now --{now}", hint="It is for the demo target only")


def use_options_only(parser: Any, unlisted: Sequence[str]) -> None:
    """Make a parser of Locust's read nothing but the command line, before which ``unlisted`` words stand."""
    parse = parser.parse_args
    parser.parse_args = lambda args=None, *more, **named: parse(
        [*unlisted, *(sys.argv[1:] if args is None else args)], *more, **named
    )
    parser._default_config_files = []  # noqa: SLF001  (as Locust does for its own defaults)
    for action in parser._actions:  # noqa: SLF001
        action.env_var = None
        if action.dest == "user_classes":
            action.default = []


def _words(given: Iterable[_Setting]) -> tuple[str, ...]:
    return tuple(word for each in given for word in each.words)


def _plain_parser() -> Any:
    """Locust's parser without the scenario's options and without what the environment says."""
    from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments  # noqa: PLC0415

    parser = get_empty_argument_parser(default_config_files=[])
    setup_parser_arguments(parser)
    return parser


def _forms(parser: Any) -> tuple[OptionForm, ...]:
    actions: list[argparse.Action] = parser._actions  # noqa: SLF001
    return tuple(OptionForm(tuple(each.option_strings), each.nargs) for each in actions if each.option_strings)


def _words_of(question: ScenarioQuestion, rest: Sequence[str], passed: Sequence[Given]) -> list[str]:
    config = ["--config", question.locust_config] if question.locust_config else []
    return [*rest, *config, *(word for each in passed for word in each.words)]


def _parsed(parser: Any, words: Sequence[str], command: str, *, strict: bool) -> Any:
    """Locust's options; unless ``strict``, words that it does not know are left out.

    Raises `UsageError` with what Locust says when it does not understand the words.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return parser.parse_args(list(words)) if strict else parser.parse_known_args(list(words))[0]
    except SystemExit as error:
        refuse_former_options(words)
        complaint = said.getvalue().strip().rpartition("error: ")[2] or "an argument is not understood"
        raise UsageError(
            complaint, hint=f"`{command} --help` lists every option; the scenario may add its own"
        ) from error


def _given_on_line(parser: Any, passed: Sequence[Given]) -> Iterator[_Setting]:
    for each in passed:
        action = parser._option_string_actions[each.name]  # noqa: SLF001
        yield _Setting(action.dest, each.words, each.name, on_command_line=True)


def _given_before(parser: Any) -> Iterator[_Setting]:
    """What variables and files give, the files first: what comes later counts more."""
    sources = {key: found for key, found in parser.get_source_to_settings_dict().items() if key not in _NOT_BEFORE}
    for source in reversed(list(sources)):
        file = source.partition("|")[2]
        for key, (action, value) in sources[source].items():
            words = parser.convert_item_to_command_line_arg(action, key, _listed(action, value))
            dest = action.dest if action else ""
            yield _Setting(dest, tuple(words), f"{key} in {file}" if file else key, on_command_line=False)


def _listed(action: Any, value: object) -> object:
    """A list in a variable, as configargparse reads it for options that take several values."""
    if isinstance(value, str) and getattr(action, "nargs", None) and value.startswith("[") and value.endswith("]"):
        try:
            return json.loads(value)
        except ValueError:
            return [each.strip() for each in value[1:-1].split(",")]
    return value


def _refuse(given: Sequence[_Setting], question: ScenarioQuestion) -> None:
    for each in given:
        if each.dest in _REFUSED and not (question.worker and each.dest == "processes"):
            raise UsageError(f"{each.origin} cannot be used with loadstone", hint=_REFUSED[each.dest])
        if each.dest == "locustfile" and each.on_command_line and question.files:
            raise UsageError("the scenario is named twice, before and behind --", hint="Name it once")


def _adopted(names: dict[str, str], options: Any, plain: Any, given: Sequence[_Setting]) -> Iterator[Adopted]:
    """Values for settings of loadstone; a scenario gives some by changing the defaults of Locust's parser."""
    origins = {each.dest: each for each in given}
    for dest, setting in names.items():
        value, origin = getattr(options, dest), origins.get(dest)
        if value is None or value == "" or (origin is None and str(value) == str(plain.get_default(dest))):
            continue
        where = origin.origin if origin else f"{dest}, set by the scenario,"
        yield Adopted(setting, str(value), where, on_command_line=bool(origin and origin.on_command_line))


def _ignored(given: Sequence[_Setting], theirs: set[str], adopted: dict[str, str]) -> Iterator[str]:
    for each in given:
        if each.dest in (_IGNORED & theirs) - _AS_IT_IS - set(adopted):
            yield each.origin
