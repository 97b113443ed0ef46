"""A look into a scenario before anything is started: does it load, has it users, does it know these arguments.

It is done in a process of its own, `run_inspection`, because loading a scenario runs its code.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.hook.inspect_users import has_absolute_urls, report_users
from loadstone.settings import ScenarioReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["PLUGIN_FILE", "inspect_scenario", "scenario_files", "write_report"]

PLUGIN_FILE: Final = (Path(__file__).with_name("plugin") / "loadstone_hook.py").resolve()
"""The Locust file to put beside the scenario's: ``locust -f loadstone_hook.py,scenario.py``."""


def scenario_files(parsed: Iterable[str]) -> list[Path]:
    """The scenario's own files among those Locust was started with."""
    return [Path(file) for file in parsed if Path(file).resolve() != PLUGIN_FILE]


def write_report(file: str, files: Sequence[str], arguments: Sequence[str]) -> None:
    """Inspect the scenario and write the report to a file, since the scenario may print and close what it likes."""
    place = Path(file)
    place.write_bytes(msgspec.json.encode(inspect_scenario(files, arguments)))


def inspect_scenario(files: Sequence[str], arguments: Sequence[str]) -> ScenarioReport:
    """Load the scenario and check its arguments; what is wrong is in the report."""
    sys.argv = [sys.argv[0], "-f", ",".join(files), *arguments]
    try:
        users, shape = _load(files)
    except SystemExit as error:
        return _bad(f"the scenario {', '.join(files)} ended itself while it was loaded (exit {error.code})")
    except Exception as error:  # noqa: BLE001  (a scenario may raise anything; the report shows it)
        return _bad(f"the scenario {', '.join(files)} cannot be loaded: {type(error).__name__}: {error}")
    if not users:
        return _bad(f"the scenario {', '.join(files)} has no user class", "Define a class that extends HttpUser")
    options, complaint = _parse(arguments)
    if complaint:
        return _bad(complaint, "`loadstone run --help` lists every option; the scenario may add its own")
    reports = report_users(users, options)
    return ScenarioReport(
        user_classes=tuple(sorted(users)),
        hosts=tuple(sorted({user.host for user in reports if user.host})),
        shape=shape,
        users=reports,
        has_absolute_urls=has_absolute_urls(users.values()),
    )


def _load(files: Sequence[str]) -> tuple[dict[str, Any], str | None]:
    from locust import main  # noqa: PLC0415  (patches the process; only wanted here)

    patched: Any = main
    patched.load_locustfile_pytest = _none_unless_collected(patched.load_locustfile_pytest)
    expanded = [found for file in files for found in _expand(Path(file))]
    users, _, _, shape = main.merge_locustfiles_content(expanded)
    return users, type(shape).__name__ if shape else None


def _none_unless_collected(load: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """Where there is no user class, Locust looks for tests of pytest; a file that pytest refuses holds none either."""

    def loaded(path: str) -> dict[str, Any]:
        try:
            return load(path)
        except Exception as error:  # noqa: BLE001  (pytest's settings may make anything an error)
            print(f"pytest finds no user in {path}: {error}", file=sys.stderr)  # noqa: T201
            return {}

    return loaded


def _expand(file: Path) -> list[str]:
    """A folder stands for the Locust files below it, as it does for Locust."""
    if file.is_dir():
        return sorted(str(found) for found in file.rglob("*.py") if not found.name.startswith("_"))
    return [str(file)]


def _parse(arguments: Sequence[str]) -> tuple[Any, str]:
    """The options as Locust reads them, and what is wrong with them."""
    from locust.argument_parser import get_parser  # noqa: PLC0415

    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            return get_parser().parse_args(list(arguments)), ""
    except SystemExit:
        return None, words.getvalue().strip().rpartition("error: ")[2] or "an argument is not understood"


def _bad(error: str, hint: str = "") -> ScenarioReport:
    return ScenarioReport(error=error, hint=hint)
