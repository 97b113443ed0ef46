"""Fixtures for tests of InfluxWriters."""

from __future__ import annotations

import time

import pytest

from loadstone.collector import service as collector_service
from loadstone.influx import service, writer
from support import run_maker
from support.closing_here import close_here


@pytest.fixture
def impatient_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for seconds in a deployment waits for less here, and no process has to start to close a run."""
    monkeypatch.setattr(collector_service, "start_finalizer", close_here)
    monkeypatch.setattr(run_maker, "START", time.time_ns())  # a run of long ago would be closed for want of a master
    monkeypatch.setattr(writer, "CLAIM_AFTER_MS", 1500)
    monkeypatch.setattr(writer, "_CLAIM_EVERY_S", 0.3)
    monkeypatch.setattr(writer, "_SIGN_EVERY_S", 0.2)
    monkeypatch.setattr(service, "_BACKFILL_EVERY_S", 0.3)
