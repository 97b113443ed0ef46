"""Which settings records a file of settings may hold."""

from __future__ import annotations

from typing import Any, Final

from loadstone.settings.capacity import CapacitySettings
from loadstone.settings.records import (
    CollectorSettings,
    DoctorSettings,
    GrafanaAnnotateSettings,
    GrafanaPushSettings,
    InfluxSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
)

__all__ = ["FILE_RECORDS"]

FILE_RECORDS: Final[tuple[type[Any], ...]] = (
    *(RunSettings, CapacitySettings, WorkerSettings, CollectorSettings, UsageSettings, DoctorSettings),
    *(InfluxSettings, GrafanaPushSettings, GrafanaAnnotateSettings),
)
"""The records of the verbs that have ``--config``; they may share one file."""
