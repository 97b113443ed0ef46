"""The variables with which a test starts a program as on a machine where nobody has set anything for it."""

from __future__ import annotations

import os


def without_settings() -> dict[str, str]:
    """This process's variables, without those that loadstone or Locust reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LOADSTONE_", "LOCUST_"))}
