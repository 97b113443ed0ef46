"""The words of a study: what is kept of the command line that began it, and with which words it goes on."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.capacity.study import StudyFolder, resolve_study
from loadstone.cli.common import Parser
from loadstone.cli.scenario_line import peek_line
from loadstone.domain.masking import mask_secrets
from loadstone.errors import UsageError
from loadstone.settings import CapacitySettings, describe, parse, peek
from loadstone.settings.command_line import OWN_PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from loadstone.capacity.study_record import StudyRecord

__all__ = ["goes_on", "kept_words", "resumed", "words_of"]

_LOCUSTFILE: Final = "--locustfile"
_SHORTEST: Final = len("--loc")
_RESULTS: Final = "--results"
_CONFIG: Final = "--config"


def kept_words(words: Sequence[str], *, has_secrets: bool) -> tuple[str, ...] | None:
    """What is kept of a command line, with paths that mean the same in any folder; None if it could hold a secret.

    The results folder is left out: whoever resumes a study says where it is.
    """
    named = (f"{option} {value}" for option, value in pairwise(words) if option.startswith("--"))
    if has_secrets or any(mask_secrets(text) != text for text in (*words, *named)):
        return None
    return tuple(_kept(list(words)))


def _kept(words: list[str]) -> Iterator[str]:
    paths = _names_of_paths()
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in {_RESULTS, OWN_PREFIX + _RESULTS.removeprefix("--")}:
            del words[: 0 if equals else 1]
        elif name in paths and equals:
            yield f"{name}={_absolute(value)}"
        elif name in paths:
            yield from (name, *(_absolute(value) for value in words[:1]))
            del words[:1]
        elif name[:2] in paths and not name.startswith("--"):  # -fFILE
            yield f"{word[:2]}{_absolute(word[2:])}"
        else:
            yield word


def _names_of_paths() -> set[str]:
    """Every spelling of an option whose value is a path, or several ones."""
    described = [each for each in describe(CapacitySettings) if each.parse in {parse.path, parse.paths}]
    long = {_CONFIG, *(each.option for each in described)}
    short = {each.short for each in described if each.short}
    cut = {_LOCUSTFILE[:end] for end in range(_SHORTEST, len(_LOCUSTFILE))}
    return {*long, *short, *cut, *(OWN_PREFIX + name.removeprefix("--") for name in long)}


def _absolute(value: str) -> str:
    return ",".join(str(path.absolute()) for path in parse.paths(value))


def resumed(words: Sequence[str]) -> tuple[StudyFolder | None, tuple[str, ...]]:
    """The study to go on with, if any, and the words other than its name. Raises `UsageError`."""
    parser = Parser(prog="loadstone capacity", add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", metavar="STUDY")
    parser.add_argument(_RESULTS)
    known, _ = parser.parse_known_args(list(words))
    if known.resume is None:
        return None, tuple(words)
    results = peek(CapacitySettings, "results", vars(known)) or Path("results")
    only = Parser(add_help=False, allow_abbrev=False)
    only.add_argument("--resume")
    _, rest = only.parse_known_args(list(words))
    return resolve_study(results, known.resume), tuple(rest)


def words_of(study: StudyRecord, arguments: argparse.Namespace, rest: tuple[str, ...]) -> tuple[str, ...]:
    """The words that began a study, and those given now. Raises `UsageError` where neither say what to find."""
    if study.words or _asks(arguments, rest):
        return (*(study.words or ()), *rest)
    if study.words is None:
        raise UsageError(
            f"the command line of study {study.id} was not kept: it could hold a secret",
            hint="Give its options again beside --resume",
        )
    raise UsageError(
        f"study {study.id} has no options of its own: variables or a settings file gave them, or they could hold a"
        " secret",
        hint="Set the same variables again, or give its options beside --resume",
    )


def _asks(arguments: argparse.Namespace, words: Sequence[str]) -> bool:
    """Whether these words, variables and files say what to find; those that cannot be read are for others to tell."""
    try:
        return any(peek_line(CapacitySettings, arguments, words, "objective", "find"))
    except UsageError:
        return True


def goes_on(folder: StudyFolder, study: StudyRecord) -> str:
    """How a study goes on, as a sentence."""
    results = str(folder.path.parent.parent.resolve())
    command = shlex.join(["loadstone", "capacity", "--resume", folder.path.name, _RESULTS, results])
    return f"`{command}`{', with its options,' if study.words is None else ''} goes on"
