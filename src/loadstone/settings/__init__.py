"""Settings: frozen records made once, at the edge, from options, environment and file; nothing else reads them."""

from loadstone.settings.hook import HookOnlySettings, HookSettings, RunRequest
from loadstone.settings.load import (
    Setting,
    as_environment,
    child_environment,
    describe,
    inherited_environment,
    load,
    read_config_file,
    read_secret,
    read_token,
    setting,
)
from loadstone.settings.records import (
    FILE_RECORDS,
    CollectorSettings,
    DoctorSettings,
    GrafanaAnnotateSettings,
    GrafanaPushSettings,
    GrafanaSettings,
    InfluxSettings,
    InfluxSetupSettings,
    RunSettings,
    ScenarioReport,
    UsageSettings,
    WorkerSettings,
)
from loadstone.settings.stack import StackSettings

__all__ = [
    "FILE_RECORDS",
    "CollectorSettings",
    "DoctorSettings",
    "GrafanaAnnotateSettings",
    "GrafanaPushSettings",
    "GrafanaSettings",
    "HookOnlySettings",
    "HookSettings",
    "InfluxSettings",
    "InfluxSetupSettings",
    "RunRequest",
    "RunSettings",
    "ScenarioReport",
    "Setting",
    "StackSettings",
    "UsageSettings",
    "WorkerSettings",
    "as_environment",
    "child_environment",
    "describe",
    "inherited_environment",
    "load",
    "read_config_file",
    "read_secret",
    "read_token",
    "setting",
]
