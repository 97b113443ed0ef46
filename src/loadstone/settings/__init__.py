"""Settings: frozen records made once, at the edge, from options, environment and file. Nothing else reads those."""

from loadstone.settings.load import Setting, describe, load, read_config_file, setting
from loadstone.settings.records import (
    CollectorSettings,
    HookSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
)

__all__ = [
    "CollectorSettings",
    "HookSettings",
    "RunSettings",
    "Setting",
    "UsageSettings",
    "WorkerSettings",
    "describe",
    "load",
    "read_config_file",
    "setting",
]
