"""Settings: frozen records made once, at the edge, from options, environment and file. Nothing else reads those."""

from loadstone.settings.load import (
    Setting,
    as_environment,
    child_environment,
    describe,
    load,
    read_config_file,
    setting,
)
from loadstone.settings.records import (
    CollectorSettings,
    DoctorSettings,
    GrafanaSettings,
    HookSettings,
    InfluxSettings,
    InfluxSetupSettings,
    RunRequest,
    RunSettings,
    UsageSettings,
    WorkerSettings,
)
from loadstone.settings.stack import StackSettings

__all__ = [
    "CollectorSettings",
    "DoctorSettings",
    "GrafanaSettings",
    "HookSettings",
    "InfluxSettings",
    "InfluxSetupSettings",
    "RunRequest",
    "RunSettings",
    "Setting",
    "StackSettings",
    "UsageSettings",
    "WorkerSettings",
    "as_environment",
    "child_environment",
    "describe",
    "load",
    "read_config_file",
    "setting",
]
