"""A look into a scenario before anything is started: does it load, has it users, does it know these arguments.

Run as a program, because loading a scenario runs its code: ``python -m loadstone.hook.inspect_scenario FILE,FILE
[ARGUMENT...]``. The last line of its output is a `ScenarioReport` as JSON.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.settings import ScenarioReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["PLUGIN_FILE", "inspect_scenario", "scenario_files"]

PLUGIN_FILE: Final = (Path(__file__).with_name("plugin") / "loadstone_hook.py").resolve()
"""The Locust file to put beside the scenario's: ``locust -f loadstone_hook.py,scenario.py``."""


def scenario_files(parsed: Iterable[str]) -> list[Path]:
    """The scenario's own files among those Locust was started with."""
    return [Path(file) for file in parsed if Path(file).resolve() != PLUGIN_FILE]


def inspect_scenario(files: Sequence[str], arguments: Sequence[str]) -> ScenarioReport:
    """Load the scenario and check its arguments; what is wrong is in the report."""
    sys.argv = ["locust", "-f", ",".join(files), *arguments]
    try:
        users, shape, takes_options = _load(files)
    except SystemExit as error:
        return _bad(f"the scenario {', '.join(files)} ended itself while it was loaded (exit {error.code})")
    except Exception as error:  # noqa: BLE001  (a scenario may raise anything; the report shows it)
        return _bad(f"the scenario {', '.join(files)} cannot be loaded: {type(error).__name__}: {error}")
    if not users:
        return _bad(f"the scenario {', '.join(files)} has no user class", "Define a class that extends HttpUser")
    if complaint := _complaint_about(arguments):
        return _bad(complaint, "`loadstone run --help` lists every option; the scenario may add its own")
    hosts = sorted({user.host for user in users.values() if user.host})
    return ScenarioReport(
        user_classes=tuple(sorted(users)), hosts=tuple(hosts), shape=shape, shape_takes_options=takes_options
    )


def _load(files: Sequence[str]) -> tuple[dict[str, Any], str | None, bool]:
    from locust import main  # noqa: PLC0415  (patches the process; only wanted here)

    patched: Any = main
    patched.load_locustfile_pytest = _none_unless_collected(patched.load_locustfile_pytest)
    expanded = [found for file in files for found in _expand(Path(file))]
    users, _, _, shape = main.merge_locustfiles_content(expanded)
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


def _expand(file: Path) -> list[str]:
    """A folder stands for the Locust files below it, as it does for Locust."""
    if file.is_dir():
        return sorted(str(found) for found in file.rglob("*.py") if not found.name.startswith("_"))
    return [str(file)]


def _complaint_about(arguments: Sequence[str]) -> str:
    from locust.argument_parser import get_parser  # noqa: PLC0415

    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            get_parser().parse_args(list(arguments))
    except SystemExit:
        return words.getvalue().strip().rpartition("error: ")[2] or "an argument is not understood"
    return ""


def _bad(error: str, hint: str = "") -> ScenarioReport:
    return ScenarioReport(error=error, hint=hint)


if __name__ == "__main__":
    print("\n" + msgspec.json.encode(inspect_scenario(sys.argv[1].split(","), sys.argv[2:])).decode())  # noqa: T201  (its answer)
