"""Command-line options out of settings records, so that option, variable and file key can never differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loadstone.settings import describe, load, read_config_file

if TYPE_CHECKING:
    import argparse

__all__ = ["add_options", "add_results", "add_run", "settings_from"]

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser, record: type[Any]) -> None:
    """Give the parser one option per setting, and ``--config``. Values stay text: `load` validates all of them."""
    for each in describe(record):
        names = [name for name in (each.short, each.option) if name]
        default = f" (default: {each.default})" if each.default and not each.flag else ""
        text = f"{each.help}{default} [{each.env}]".replace("%", "%%")
        if each.flag:
            parser.add_argument(*names, dest=each.name, action="store_const", const="yes", help=text)
        elif each.repeatable:
            parser.add_argument(
                *names, dest=each.name, action="extend", nargs="+", metavar=each.metavar or None, help=text
            )
        else:
            parser.add_argument(*names, dest=each.name, metavar=each.metavar or None, help=text)
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings, named as options without dashes")


def settings_from(record: type[T], arguments: argparse.Namespace) -> T:
    """The settings record that these arguments, the environment and the file name. Raises `SettingsError`."""
    file = read_config_file(Path(arguments.config) if arguments.config else None)
    return load(record, vars(arguments), file=file)


def add_run(parser: argparse.ArgumentParser, name: str) -> None:
    """Give the parser a run as argument."""
    parser.add_argument(name, metavar=name.upper(), help="id of the run, its beginning, or `latest`")


def add_results(parser: argparse.ArgumentParser) -> None:
    """Give the parser the folder of the runs."""
    parser.add_argument("--results", default="results", metavar="DIR", help="folder of the runs (default: results)")
