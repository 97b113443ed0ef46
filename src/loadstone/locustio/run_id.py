"""The id of a run: made by the master, carried to the workers among Locust's own options."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

__all__ = ["RUN_OPTION", "SEED_OPTION", "new_run_id"]

RUN_OPTION: Final = "loadstone_run"
"""Attribute of Locust's parsed options. Those that are not Locust's own reach every worker with each spawn message."""

SEED_OPTION: Final = "loadstone_seed"
"""The same for the seed of the workers' random numbers."""


def new_run_id() -> str:
    """An id that sorts by time and does not repeat, such as ``20261123-194501-3fa9``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
