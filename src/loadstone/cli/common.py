"""What the verbs share: how one is declared, options made from settings, runs as arguments, stop signals, output."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from loadstone.archive.closed_run import resolve_run
from loadstone.domain.masking import mask_secrets
from loadstone.domain.text import printable
from loadstone.errors import InterruptedBySignal, UsageError
from loadstone.settings import FILE_RECORDS, InfluxSettings, describe, load, parse, read_config_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from loadstone.archive.folder import RunFolder

    _Execute = Callable[[argparse.Namespace, tuple[str, ...]], int]

__all__ = [
    "RUN_HELP",
    "Parser",
    "StopFlag",
    "Verb",
    "add_options",
    "add_results",
    "add_run",
    "named_run",
    "recover_command",
    "say",
    "settings_from",
    "warn",
]

T = TypeVar("T")
RUN_HELP = "run id, a unique prefix of one, or `latest`"


class _Formatter(argparse.HelpFormatter):
    """argparse's formatter, which reserves too little space for the names of verbs: it forgets their indent."""

    def format_help(self) -> str:
        self._action_max_length += self._indent_increment
        return super().format_help()


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError`, so that `main` reports every error in the same way."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **options})

    def error(self, message: str) -> NoReturn:
        """Raise the error with a pointer to the help of this verb."""
        raise UsageError(message, hint=f"`{self.prog} --help` shows what is allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb with its options and what it does, or, with ``actions``, a group such as ``loadstone grafana``.

    ``execute`` takes the parsed arguments and returns the exit code. With ``passes_arguments_on`` the words behind the
    verb are not parsed, since the scenario's options are not known yet: ``execute`` gets them all.
    """

    name: str
    help: str
    notes: str = ""
    configure: Callable[[argparse.ArgumentParser], None] | None = None
    execute: _Execute | None = None
    actions: tuple[Verb, ...] = ()
    passes_arguments_on: bool = False
    is_service: bool = False
    outlives_output: bool = False
    """It goes on when nobody takes its output any more."""

    def add_to(self, verbs: argparse._SubParsersAction[Parser]) -> None:
        """Add the parser of this verb, and those of its actions."""
        text = f"{self.help} {self.notes}".replace("%", "%%")
        parser = verbs.add_parser(self.name, help=self.help, description=text, allow_abbrev=False)
        if self.configure:
            self.configure(parser)
        if self.passes_arguments_on:
            parser.usage = f"{parser.prog} [OPTION ...] [OPTION OF LOCUST OR THE SCENARIO ...] [USER CLASS ...]"
        if self.actions:
            actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
            for action in self.actions:
                action.add_to(actions)
        else:
            parser.set_defaults(verb=self, parser=parser)


def add_options(parser: argparse.ArgumentParser, record: type[Any]) -> None:
    """Give the parser one option per setting, and ``--config``. Values stay text: `load` validates all of them."""
    shared = {each.name for each in describe(InfluxSettings)} if record is not InfluxSettings else set()
    influx = parser.add_argument_group("InfluxDB") if issubclass(record, InfluxSettings) and shared else parser
    for each in describe(record):
        group = influx if each.name in shared else parser
        names = [name for name in (each.short, each.option) if name]
        default = f" (default: {each.default})" if each.default and not each.flag else ""
        text = f"{each.help}{default} [{each.env}]".replace("%", "%%")
        if each.flag:
            group.add_argument(*names, dest=each.name, action="store_const", const="yes", help=text)
        elif each.repeatable:
            many: dict[str, Any] = {"action": "append"} if each.one_each else {"action": "extend", "nargs": "+"}
            group.add_argument(*names, dest=each.name, metavar=each.metavar or None, help=text, **many)
        else:
            group.add_argument(*names, dest=each.name, metavar=each.metavar or None, help=text)
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings; a key is the option's name with _ for -"
    )


def settings_from(record: type[T], arguments: argparse.Namespace) -> T:
    """The settings record filled from options, environment and file. Raises `SettingsError`."""
    file = read_config_file(Path(arguments.config) if arguments.config else None)
    shared = {each.name for other in FILE_RECORDS for each in describe(other)}
    return load(record, vars(arguments), file=file, shared=shared)


def add_run(parser: argparse.ArgumentParser, name: str = "run", *, optional: bool = False) -> None:
    """Give the parser a run as an argument."""
    parser.add_argument(name, metavar=name.upper(), help=RUN_HELP, nargs="?" if optional else None)


def add_results(parser: argparse.ArgumentParser, *, hidden: bool = False) -> None:
    """Give the parser the results folder; ``hidden`` for verbs that accept it but have no use for it."""
    text = argparse.SUPPRESS if hidden else "results folder (default: results)"
    parser.add_argument("--results", default="results", metavar="DIR", help=text, type=_results)


def _results(value: str) -> str:
    try:
        parse.path(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is {value!r}, it must be {error}") from None
    return value


def named_run(arguments: argparse.Namespace, name: str = "run") -> RunFolder:
    """The run that the argument of this name stands for. Raises `UsageError` with the candidates."""
    return resolve_run(Path(arguments.results), getattr(arguments, name))


def recover_command(results: Path) -> str:
    """The command that reads everything that is kept for the runs of a results folder."""
    return shlex.join(["loadstone", "recover", "--results", str(results.resolve())])


def say(line: str) -> None:
    """Print one line of a verb's result to standard output, without what a terminal would obey."""
    sys.stdout.write(f"{printable(line)}\n")


def warn(line: str) -> None:
    """Print one line that is not a result, to standard error, without secrets."""
    sys.stderr.write(f"loadstone: {printable(mask_secrets(line))}\n")


class StopFlag:
    """How often this process was asked to stop since `install`."""

    def __init__(self) -> None:
        self.count = 0
        self._interrupts = False

    @classmethod
    def install(cls) -> StopFlag:
        """A flag that SIGINT, SIGTERM and SIGHUP set from now on; `nohup` keeps SIGHUP away."""
        flag = cls()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # which is what nohup sets
                signal.signal(number, flag._set)
        return flag

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[StopFlag]:
        """A flag that these signals set in this context only."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield cls.install()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """In this context a signal raises `InterruptedBySignal` too, for work that does not look at the flag."""
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def __call__(self) -> bool:
        """Whether this process was asked to stop."""
        return self.count > 0

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._interrupts:
            raise InterruptedBySignal
