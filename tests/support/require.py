"""What a test needs and the machine may not have: a skip with the reason, or a failure where that is demanded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

REQUIRE_SERVICES = "LOADSTONE_REQUIRE_SERVICES"


def services_are_required() -> bool:
    """Tell whether a missing server is a failure (``LOADSTONE_REQUIRE_SERVICES=1``, as in CI)."""
    return os.environ.get(REQUIRE_SERVICES, "") not in {"", "0"}


def missing(reason: str) -> None:
    """Skip the running test for ``reason``, or fail it where every server has to be there."""
    if services_are_required():
        pytest.fail(f"{reason} ({REQUIRE_SERVICES} is set)", pytrace=False)
    pytest.skip(reason)


def require(path: Path | None, reason: str) -> Path:
    """Return ``path`` if it is there; otherwise skip or fail the running test with ``reason``."""
    if path is None or not path.exists():
        missing(reason)
        raise AssertionError("unreachable: missing() always raises")
    return path
