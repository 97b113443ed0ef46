"""Settings: frozen records made once, at the edge, from options, environment and file; nothing else reads them."""

from loadstone.settings.axes import size_bytes
from loadstone.settings.capacity import CapacitySettings
from loadstone.settings.file_records import FILE_RECORDS
from loadstone.settings.hook import HookOnlySettings, HookSettings, MaskSettings, RunRequest
from loadstone.settings.load import (
    FORMER_NAMES,
    Setting,
    as_environment,
    child_environment,
    compose_project_name,
    describe,
    inherited_environment,
    load,
    peek,
    read_config_file,
    read_secret,
    read_token,
    setting,
    short_text,
    state_home,
    take_in_variables,
)
from loadstone.settings.records import (
    CollectorSettings,
    DoctorSettings,
    GrafanaAnnotateSettings,
    GrafanaPushSettings,
    GrafanaSettings,
    InfluxSettings,
    InfluxSetupSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
)
from loadstone.settings.scenario_report import ScenarioReport, UserReport
from loadstone.settings.stack import StackSettings

__all__ = [
    "FILE_RECORDS",
    "FORMER_NAMES",
    "CapacitySettings",
    "CollectorSettings",
    "DoctorSettings",
    "GrafanaAnnotateSettings",
    "GrafanaPushSettings",
    "GrafanaSettings",
    "HookOnlySettings",
    "HookSettings",
    "InfluxSettings",
    "InfluxSetupSettings",
    "MaskSettings",
    "RunRequest",
    "RunSettings",
    "ScenarioReport",
    "Setting",
    "StackSettings",
    "UsageSettings",
    "UserReport",
    "WorkerSettings",
    "as_environment",
    "child_environment",
    "compose_project_name",
    "describe",
    "inherited_environment",
    "load",
    "peek",
    "read_config_file",
    "read_secret",
    "read_token",
    "setting",
    "short_text",
    "size_bytes",
    "state_home",
    "take_in_variables",
]
