"""One command line for three: which words are loadstone's options, which Locust's, and which the scenario's own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import msgspec

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = [
    "OWN_PREFIX",
    "Adopted",
    "Division",
    "Given",
    "LineReport",
    "OptionForm",
    "ScenarioQuestion",
    "divide",
]

OWN_PREFIX: Final = "--loadstone-"
"""Each of loadstone's options can also be spelled with this prefix, which a scenario's options do not have."""


class OptionForm(msgspec.Struct, frozen=True):
    """An option as a parser needs it: its spellings, and how many values it takes (argparse's ``nargs``)."""

    names: tuple[str, ...]
    nargs: int | str | None = None


class ScenarioQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What to find out about a scenario and the command line that names it.

    ``files`` may be empty: then it is the scenario that Locust would run, or ``fallback``, or with ``worker`` the
    master's. ``words`` may hold options of loadstone (``own``); ``after`` are the words behind ``--``. ``command`` is
    the one whose line it is. With ``samples_shape`` the rate of an arrival shape is wanted, until it ends the run or
    for ``length_s`` seconds.
    """

    command: str = "loadstone run"
    files: tuple[str, ...] = ()
    fallback: str | None = None
    words: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    own: tuple[OptionForm, ...] = ()
    locust_config: str | None = None
    worker: bool = False
    length_s: float | None = None
    samples_shape: bool = False


class Adopted(msgspec.Struct, frozen=True):
    """A value that Locust was given for something that is a setting of loadstone, and where it comes from."""

    setting: str
    value: str
    origin: str
    on_command_line: bool


class LineReport(msgspec.Struct, frozen=True, kw_only=True):
    """The command line, taken apart: ``own`` is loadstone's; ``arguments`` go to all Locust processes.

    ``unlisted`` go there too, but not on a command line that others can list: variables and files may hold secrets.
    ``yielded`` are spellings of loadstone's options that went to the scenario, which declares them; ``ignored`` are
    settings of Locust, by where they come from, that loadstone controls itself.
    """

    own: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    master_arguments: tuple[str, ...] = ()
    adopted: tuple[Adopted, ...] = ()
    ignored: tuple[str, ...] = ()
    yielded: tuple[str, ...] = ()


class Given(NamedTuple):
    """One use of an option: its spelling, and the words with which to give it again."""

    name: str
    words: tuple[str, ...]


class Division(NamedTuple):
    """A command line in parts: loadstone's words, options of Locust and the scenario, and words that are no option."""

    own: tuple[str, ...]
    passed: tuple[Given, ...]
    rest: tuple[str, ...]
    yielded: tuple[str, ...]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class _Keep(argparse.Action):
    """Keeps each use of an option in ``namespace.given``, in order."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, name: str | None = None
    ) -> None:
        namespace.given.append(Given(name or "", _spelled(name or "", values)))


def divide(
    words: Sequence[str], own: Iterable[OptionForm], locust: Iterable[OptionForm], scenario: Iterable[OptionForm]
) -> Division:
    """Take a command line apart. An option that several declare is the scenario's, then loadstone's, then Locust's.

    Long options of Locust and the scenario may be abbreviated, as with Locust. Raises `UsageError` for an option
    without its value.
    """
    forms = {name: form for group in (locust, own, scenario) for form in group for name in form.names}
    mine, declared = _names(own), _names(scenario)
    parser = _Parser(prog="loadstone", add_help=False, allow_abbrev=False)
    for number, (name, form) in enumerate(forms.items()):
        parser.add_argument(name, action=_Keep, nargs=form.nargs, dest=f"option-{number}")
    theirs = _names(locust) | declared
    full = [_in_full(word, forms, theirs) for word in words]
    found, rest = parser.parse_known_args(full, argparse.Namespace(given=[]))
    given: list[Given] = found.given
    return Division(
        own=tuple(word for each in given if each.name in mine - declared for word in each.words),
        passed=tuple(each for each in given if each.name not in mine - declared),
        rest=tuple(rest),
        yielded=tuple(dict.fromkeys(each.name for each in given if each.name in mine & declared)),
    )


def _names(forms: Iterable[OptionForm]) -> set[str]:
    return {name for form in forms for name in form.names}


def _in_full(word: str, forms: Collection[str], theirs: Collection[str]) -> str:
    """An abbreviated option in full, where only one of Locust's and the scenario's begins like it."""
    name, equals, value = word.partition("=")
    if not name.startswith("--") or name == "--" or name in forms:
        return word
    candidates = [each for each in theirs if each.startswith(name)]
    return f"{candidates[0]}{equals}{value}" if len(candidates) == 1 else word


def _spelled(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, str) and len(values or ()) == 1:
        (values,) = values
    if isinstance(values, str):
        if not values.startswith("-"):
            return (name, values)
        return (f"{name}={values}",) if name.startswith("--") else (f"{name}{values}",)
    return (name, *(values or ()))
