"""A look into a scenario before anything is started: does it load, has it users, which words are its arguments.

It is done in a process of its own, `run_inspection`, because loading a scenario runs its code.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.domain.arrival_shape import sampled
from loadstone.errors import UsageError
from loadstone.hook.arrival_shapes import find_arrival_shape
from loadstone.hook.inspect_users import has_absolute_urls, report_users
from loadstone.hook.locust_settings import read_line
from loadstone.settings import ScenarioReport, parse
from loadstone.settings.command_line import ScenarioQuestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadstone.settings.command_line import LineReport

__all__ = ["PLUGIN_FILE", "inspect_scenario", "scenario_files", "write_report"]

PLUGIN_FILE: Final = (Path(__file__).with_name("plugin") / "loadstone_hook.py").resolve()
"""The Locust file to put beside the scenario's: ``locust -f loadstone_hook.py,scenario.py``."""

_DEFAULT_FILE: Final = "locustfile.py"
_FROM_MASTER: Final = "-"
_UNCAUGHT: Final = "Uncaught exception in event handler"


def scenario_files(parsed: Iterable[str]) -> list[Path]:
    """The scenario's own files among those Locust was started with."""
    return [Path(file) for file in parsed if Path(file).resolve() != PLUGIN_FILE]


def write_report(file: str, question: str) -> None:
    """Read the question from its file and answer it in another one: the scenario may print and close what it likes."""
    place = Path(file)
    asked = msgspec.json.decode(Path(question).read_bytes(), type=ScenarioQuestion)
    place.write_bytes(msgspec.json.encode(inspect_scenario(asked)))


def inspect_scenario(question: ScenarioQuestion) -> ScenarioReport:
    """Load the scenario and take its command line apart; what is wrong is in the report."""
    try:
        files = _files(question)
    except SystemExit:
        return _bad("Locust's settings in variables or files cannot be read", "See LOCUST_... and locust.conf")
    names = ", ".join(files)
    sys.argv = [sys.argv[0], "-f", ",".join(files), *question.words, *question.after]
    try:
        users, shape, takes_options = _load(files) if files else ({}, None, False)
    except SystemExit as error:
        return _bad(f"the scenario {names} ended itself while it was loaded (exit {error.code})")
    except Exception as error:  # noqa: BLE001  (a scenario may raise anything; the report shows it)
        return _bad(f"the scenario {names} cannot be loaded: {type(error).__name__}: {error}")
    if files and not users:
        return _bad(f"the scenario {names} has no user class", "Define a class that extends HttpUser")
    try:
        line, options = read_line(question, _parser_of(names), is_loaded=bool(files))
        chosen = _chosen(users, options.user_classes) if files else {}
        arrivals = None if question.worker else find_arrival_shape(_expanded(files), shape)
        stages = sampled(arrivals, _length_s(question, line)) if arrivals and question.samples_shape else ()
    except UsageError as error:
        return _bad(error.message, error.hint)
    reports = report_users(chosen, options)
    return ScenarioReport(
        files=tuple(files),
        line=line,
        user_classes=tuple(sorted(chosen)),
        hosts=tuple(sorted({user.host for user in reports if user.host})),
        shape=shape,
        shape_takes_options=takes_options,
        arrival_shape=type(arrivals).__name__ if arrivals else None,
        arrival_stages=stages,
        users=reports,
        has_absolute_urls=has_absolute_urls(chosen.values()),
    )


def _files(question: ScenarioQuestion) -> list[str]:
    """The scenario's files: those that are named, else ``locustfile.py``, else the fallback."""
    from locust.argument_parser import parse_locustfile_option  # noqa: PLC0415  (patches the process)

    if question.files:
        return list(question.files)
    config = ["--config", question.locust_config] if question.locust_config else []
    parsed: Any = parse_locustfile_option([*config, *question.after])  # Locust declares a wrong type
    named = str(parsed.locustfile)
    if named == _DEFAULT_FILE and (question.worker or not Path(named).exists()):
        return [question.fallback] if question.fallback else []
    if named == _FROM_MASTER:
        return []
    return [str(file) for file in scenario_files(parse.paths_of_locust(named))]


def _parser_of(names: str) -> Any:
    """Locust's parser with the options that the scenario adds. Raises `UsageError` when adding them fails."""
    from locust.argument_parser import get_parser  # noqa: PLC0415

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage().strip())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        parser = get_parser()
    finally:
        logging.getLogger().removeHandler(handler)
    if failed := next((text for text in said if text.startswith(_UNCAUGHT)), None):
        raise UsageError(f"the scenario {names} cannot add its options: {failed.splitlines()[-1]}")
    return parser


def _chosen(users: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The user classes that the command line names; all of them if it names none."""
    if unknown := [name for name in names if name not in users]:
        raise UsageError(
            f"{' '.join(unknown)} is no user class of the scenario, which has {', '.join(sorted(users))}",
            hint="Several Locust files are -f FILE,FILE or -f FILE -f FILE",
        )
    return {name: user for name, user in users.items() if not names or name in names}


def _load(files: Sequence[str]) -> tuple[dict[str, Any], str | None, bool]:
    from locust import main  # noqa: PLC0415  (patches the process; only wanted here)

    patched: Any = main
    patched.load_locustfile_pytest = _none_unless_collected(patched.load_locustfile_pytest)
    users, _, _, shape = main.merge_locustfiles_content(_expanded(files))
    return users, type(shape).__name__ if shape else None, bool(shape and shape.use_common_options)


def _none_unless_collected(load: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """Where there is no user class, Locust looks for tests of pytest; a file that pytest refuses holds none either."""

    def loaded(path: str) -> dict[str, Any]:
        try:
            return load(path)
        except Exception as error:  # noqa: BLE001  (pytest's settings may make anything an error)
            print(f"pytest finds no user in {path}: {error}", file=sys.stderr)  # noqa: T201
            return {}

    return loaded


def _length_s(question: ScenarioQuestion, line: LineReport) -> float | None:
    """How long the run is to be; a variable or a file of Locust's may say it as well."""
    if question.length_s is not None:
        return question.length_s
    given = [each.value for each in line.adopted if each.setting == "run_time"]
    try:
        return parse.duration_s(given[0]) if given else None
    except ValueError:  # said when the settings are loaded
        return None


def _expanded(files: Iterable[str]) -> list[str]:
    return [found for file in files for found in _expand(Path(file))]


def _expand(file: Path) -> list[str]:
    """A folder stands for the Locust files below it, as it does for Locust."""
    if file.is_dir():
        return sorted(str(found) for found in file.rglob("*.py") if not found.name.startswith("_"))
    return [str(file)]


def _bad(error: str, hint: str = "") -> ScenarioReport:
    return ScenarioReport(error=error, hint=hint)
