"""How child processes run Python: the command line of a module, without the current folder on the import path."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["RUN_LOCUST", "python_module"]

RUN_LOCUST: Final = "loadstone.hook.run_locust"
"""The module that runs Locust with the hook's own libraries apart from the scenario's."""


def python_module(name: str, *arguments: str) -> list[str]:
    """The command of ``python -m NAME``. With ``-P`` a json.py in the current folder is not taken for Python's own."""
    return [sys.executable, "-P", "-m", name, *arguments]
