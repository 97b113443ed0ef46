"""How a settings record is filled: option before environment before file before default, with all problems at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from loadstone.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

__all__ = [
    "ENV_PREFIX",
    "FORMER_NAMES",
    "Setting",
    "as_environment",
    "child_environment",
    "compose_project_name",
    "describe",
    "given_names",
    "inherited_environment",
    "load",
    "peek",
    "read_config_file",
    "read_secret",
    "read_token",
    "setting",
    "short_text",
    "state_home",
    "take_in_variables",
]

ENV_PREFIX: Final = "LOADSTONE_"
_REPEATED: Final = "\n"
_GIVEN: Final = "given"
_MODEL: Final = "models:/"
FORMER_NAMES: Final = {"model": "demo_model", "registry": "demo_registry", "target_port": "demo_port"}
"""Settings that were renamed, so that their options are free for scenarios."""
_FILE_SUFFIX: Final = "_FILE"
"""``NAME_FILE`` names a file that holds the value of ``NAME``: what the environment must not show."""
_MOST_BYTES: Final = 2**20
"""A settings file, or one with a secret, is much shorter."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as users see it: option, environment variable, default as text, and one line of help."""

    name: str
    parse: Callable[[str], object]
    help: str
    default: str | None
    metavar: str
    repeatable: bool
    one_each: bool
    flag: bool
    short: str | None
    variable: str | None

    @property
    def option(self) -> str:
        """The command-line option, such as ``--run-time``."""
        return "--" + self.name.replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable, such as ``LOADSTONE_RUN_TIME``, or an established name such as ``MODEL_URI``."""
        return self.variable or ENV_PREFIX + self.name.upper()


def setting(
    parse: Callable[[str], object],
    help: str,  # noqa: A002  (the word argparse uses)
    *,
    default: str | None = None,
    metavar: str = "",
    repeatable: bool = False,
    one_each: bool = False,
    flag: bool = False,
    short: str | None = None,
    variable: str | None = None,
) -> Any:
    """A field of a settings record. ``default`` is text like any other value; None means "not set".

    A repeatable option takes several words each time, or with ``one_each`` one.
    """
    shown = {"parse": parse, "help": help, "default": default, "metavar": metavar, "one_each": one_each}
    return field(metadata={**shown, "repeatable": repeatable, "flag": flag, "short": short, "variable": variable})


def given_names() -> Any:
    """The field ``given`` of a settings record: the names of those that have not just their defaults."""
    return field(default=frozenset(), compare=False)


def describe(record: type[Any]) -> Iterator[Setting]:
    """The settings of a record, in the order of its fields."""
    for each in fields(record):
        if each.name != _GIVEN:
            yield _setting_of(each)


def load(
    record: type[T],
    options: Mapping[str, str | list[str] | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, object] | None = None,
    shared: Collection[str] = (),
    adopted: Mapping[str, tuple[str, str]] | None = None,
) -> T:
    """A filled record. Raises `SettingsError` naming every invalid setting, its value and what is allowed.

    A key of the file must be one of the record or of ``shared``, which other verbs read from the same file.
    ``adopted`` are values that only override defaults, each with where it comes from.
    """
    sources = (options or {}, os.environ if environ is None else environ, file or {})
    values: dict[str, Any] = {}
    names = {each.name for each in describe(record)}
    problems = [*_unknown_keys(file or {}, {*shared, *names}), *_former_variables(names, sources[1])]
    given = set()
    for each in describe(record):
        raw, origin, is_given = _raw_value(each, *sources, adopted or {})
        given |= {each.name} if is_given else set()
        try:
            values[each.name] = _parsed(each, raw)
        except ValueError as error:
            problems.append(f"{origin} is {_shown(raw)}, it must be {error}")
    if problems:
        raise SettingsError(problems)
    if hasattr(record, _GIVEN):
        values[_GIVEN] = frozenset(given)
    return record(**values)


def peek(record: type[Any], name: str, options: Mapping[str, Any], *, file: Mapping[str, object] | None = None) -> Any:
    """One setting before all options are known; None when it is invalid, which `load` will say."""
    each = next(each for each in describe(record) if each.name == name)
    raw = _raw_value(each, options, os.environ, file or {}, {})
    try:
        return _parsed(each, raw.text)
    except ValueError:
        return None


def short_text(file: Path, encoding: str = "utf-8") -> str:
    """The content of a file that a person names; it may be a pipe. Raises `OSError`, also when it is no short text."""
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(f"it has more than {_MOST_BYTES // 2**20} MiB")
    return content.decode(encoding)


def read_config_file(file: Path | None) -> dict[str, object]:
    """The settings in a TOML file; none without a file. Raises `UsageError` when it cannot be read."""
    if file is None:
        return {}
    try:
        return tomllib.loads(short_text(file))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the settings file {file}: {error}", hint="Name a readable TOML file with --config"
        ) from error


def read_secret(file: Path, what: str, *, cure: str, one_word: bool = False) -> str:
    """The content of a file that holds one secret, such as a password, without the space around it.

    Raises `UsageError` that names the file when it cannot be read, is empty, or holds several words where
    ``one_word`` forbids them. ``what`` and ``cure`` say what the secret is and what to do.
    """
    try:
        text = short_text(file).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the {what} file {file} cannot be read: {error}", hint=cure) from error
    if not text:
        raise UsageError(f"the {what} file {file} is empty", hint=cure)
    if one_word and len(text.split()) != 1:
        raise UsageError(f"the {what} file {file} holds more than one word", hint=cure)
    return text


def read_token(file: Path | None, what: str = "InfluxDB token", option: str = "--influx-token-file") -> str:
    """The API token in a file, "" without one. Raises `UsageError` as `read_secret` does."""
    cure = f"Name a readable file that holds nothing but the token with {option}"
    return read_secret(file, what, cure=cure, one_word=True) if file else ""


def child_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: this one's without its own settings, and these values."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return {**inherited, **values}


def take_in_variables(file: Path) -> None:
    """Give this process the variables of a JSON object in a file; settings that are loaded already do not change."""
    os.environ.update(msgspec.json.decode(file.read_bytes(), type=dict[str, str]))


def compose_project_name() -> str | None:
    """The compose project that the user has chosen, as Compose itself reads it; None without a choice."""
    return os.environ.get("COMPOSE_PROJECT_NAME") or None


def state_home() -> Path:
    """Where a user's programs keep what has to survive them: ``XDG_STATE_HOME``, or ``~/.local/state``.

    See the XDG Base Directory Specification, which has relative paths ignored.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given
    home = os.path.expanduser("~")  # noqa: PTH111  (without a home it stays as it is instead of failing)
    return Path(home).absolute() / ".local" / "state"


def inherited_environment(record: type[Any]) -> dict[str, str]:
    """The variables of this process that give the settings of a record, for a child process that reads them."""
    names = (name for each in describe(record) for name in (each.env, each.env + _FILE_SUFFIX))
    return {name: os.environ[name] for name in names if name in os.environ}


def as_environment(values: Mapping[str, object]) -> dict[str, str]:
    """Settings as environment variables, by the names of their fields; None and empty ones are left out."""
    return {ENV_PREFIX + name.upper(): str(value) for name, value in values.items() if value not in (None, "", ())}


def _setting_of(each: Field[Any]) -> Setting:
    if each.default is not MISSING or "parse" not in each.metadata:
        raise TypeError(f"{each.name} is not declared with setting()")
    return Setting(name=each.name, **each.metadata)


def _unknown_keys(file: Mapping[str, object], known: Collection[str]) -> list[str]:
    problems = []
    for key in file:
        if key not in known and (now := FORMER_NAMES.get(key)) in known:
            problems.append(f"{key} in the file is now {now}")
        elif key not in known:
            nearest = difflib.get_close_matches(key, sorted(known), n=1)
            cure = f"did you mean {nearest[0]}?" if nearest else "docs/reference/settings.md lists every setting"
            problems.append(f"{key} in the file is not known, {cure}")
    return problems


def _former_variables(names: Collection[str], environ: Mapping[str, str]) -> list[str]:
    renamed = (
        (ENV_PREFIX + old.upper(), ENV_PREFIX + new.upper()) for old, new in FORMER_NAMES.items() if new in names
    )
    return [f"{old} is now {new}" for old, new in renamed if old in environ]


class _Raw(NamedTuple):
    text: str | None
    origin: str
    is_given: bool = True


def _raw_value(
    each: Setting,
    options: Mapping[str, str | list[str] | None],
    environ: Mapping[str, str],
    file: Mapping[str, object],
    adopted: Mapping[str, tuple[str, str]],
) -> _Raw:
    if (given := options.get(each.name)) is not None:
        return _Raw(_REPEATED.join(given) if isinstance(given, list) else given, each.option)
    if environ.get(each.env):
        return _Raw(environ[each.env], each.env)
    if file_name := environ.get(each.env + _FILE_SUFFIX):
        return _Raw(_content_of(file_name, each.env + _FILE_SUFFIX), each.env + _FILE_SUFFIX)
    if each.name in file:
        value = file[each.name]
        text = _REPEATED.join(map(str, value)) if isinstance(value, list) else str(value)
        return _Raw(text, f"{each.name} in the file")
    if each.name in adopted:
        return _Raw(*adopted[each.name])
    return _Raw(each.default, each.option, is_given=False)


def _shown(raw: str | None) -> str:
    """A value that is refused, without its secret: it may be an address that lacks what makes it one."""
    user, at, rest = (raw or "").rpartition("@")
    is_model = user.startswith(_MODEL)  # models:/NAME@ALIAS
    hidden = f"{user.rpartition('//')[0]}***{at}{rest}" if ":" in user and not is_model else raw
    return repr(hidden)


def _content_of(name: str, variable: str) -> str:
    try:
        return short_text(Path(name)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{variable} names {name}, which cannot be read: {error}", hint="Name a readable file that holds the value"
        ) from error


def _parsed(each: Setting, raw: str | None) -> Any:
    if raw is None:
        return () if each.repeatable else None
    return each.parse(raw)
