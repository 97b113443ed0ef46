"""What tests of Locust's web UI share."""

from __future__ import annotations

import pytest


@pytest.fixture
def as_if_started_by_locust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust's page reads the command line of its process."""
    monkeypatch.setattr("sys.argv", ["locust"])
