"""Where the demo lies, in a checkout or in the installed package, and where it keeps its model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.errors import UsageError
from loadstone.settings import state_home

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_demo_packages", "default_locustfile", "is_demo_scenario", "state_folder", "target_folder"]

_SCENARIO: Final = Path("locust-worker") / "locustfile.py"
_PACKAGE: Final = Path("target") / "inference"
_INSTALLED: Final = Path(__file__).parents[1] / "demo"
"""Where the wheel puts what a checkout has at its top (pyproject.toml)."""
_NEEDED: Final = ("fastapi", "httptools", "mlflow", "onnxruntime", "prometheus_client", "skl2onnx", "sklearn", "yaml")
"""Modules of the extra `demo`, which the installed package can be without."""


def _roots() -> tuple[Path, ...]:
    """The current folder, the checkout that this file lies in, if it does, and the installed package."""
    return Path(), Path(__file__).parents[3], _INSTALLED


def target_folder() -> Path:
    """The folder ``target`` of the demo. Raises `UsageError` where it is not installed."""
    for root in _roots():
        if (root / _PACKAGE).is_dir():
            return (root / _PACKAGE).parent.resolve()
    raise UsageError("the demo target is not installed here", hint="Name the service to test with --host URL")


def check_demo_packages() -> None:
    """Raise `UsageError` if packages that the demo target needs are not installed."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise UsageError(
            f"the demo target needs Python packages that are not installed: {', '.join(missing)}",
            hint="Install loadstone with the extra `demo`, or name the service to test with --host URL",
        )


def state_folder() -> Path:
    """What is kept of the demo between runs: in a checkout below it, else in the user's own folder for such things."""
    root = target_folder().parent
    return state_home() / "loadstone" / "demo" if root == _INSTALLED.resolve() else root / ".cache" / "demo"


def default_locustfile() -> Path:
    """The sample scenario."""
    found = (root / _SCENARIO for root in _roots())
    return next((file for file in found if file.exists()), _INSTALLED / _SCENARIO)


def is_demo_scenario(files: Sequence[Path]) -> bool:
    """Whether these files are the scenario that comes with the demo target, and it still asks the target for /info."""
    known = {(root / _SCENARIO).resolve() for root in _roots()}
    return any(file.resolve() in known and _asks_for_info(file) for file in files)


def _asks_for_info(file: Path) -> bool:
    try:
        return "/info" in file.read_text(errors="replace")
    except OSError:
        return False
