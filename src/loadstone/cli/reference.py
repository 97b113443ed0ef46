"""The reference page of all settings, made from the settings records: ``python -m loadstone.cli.reference``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from loadstone.settings import (
    CollectorSettings,
    DoctorSettings,
    GrafanaSettings,
    HookSettings,
    InfluxSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["settings_page"]

_PAGES: Final[dict[str, tuple[type[Any], str]]] = {
    "`loadstone run` and `loadstone up`": (RunSettings, "Arguments not listed here go to the scenario."),
    "`loadstone influx backfill RUN`": (InfluxSettings, "And `--results`, the folder of the runs."),
    "`loadstone grafana push` and `loadstone grafana annotate RUN`": (
        GrafanaSettings,
        "And `--results`, the folder of the runs.",
    ),
    "`loadstone doctor`": (DoctorSettings, "What is not named is not checked."),
    "`loadstone worker`": (WorkerSettings, "Arguments not listed here go to the scenario."),
    "`loadstone collector`": (CollectorSettings, "Aggregator and InfluxWriter as services."),
    "`loadstone usage`": (UsageSettings, "The UsageSampler as a service."),
    "The hook in Locust's processes": (HookSettings, "By environment variable only; `loadstone run` sets them."),
}
_HEAD: Final = """# Settings

Every setting can be given as an option, as an environment variable, or in a TOML file named with `--config` (the key
is the option without dashes in front, with `_` inside). An option wins over the environment, that over the file, and
that over the default. All values are checked together before anything starts. This page is made by
`python -m loadstone.cli.reference`.
"""
_COUNTED_CORES: Final = "workers"


def settings_page() -> str:
    """The page, Markdown."""
    return "\n".join([_HEAD, *(line for title in _PAGES for line in _section(title))])


def _section(title: str) -> Iterator[str]:
    record, remark = _PAGES[title]
    yield f"## {title}\n\n{remark}\n"
    yield "| option | variable | default | meaning |"
    yield "|---|---|---|---|"
    for each in describe(record):
        option = f"`{each.short}`, `{each.option}`" if each.short else f"`{each.option}`"
        default = "one per core, at least 2" if each.name == _COUNTED_CORES else each.default or ""
        meaning = each.help.replace("|", "\\|")
        yield f"| {'' if record is HookSettings else option} | `{each.env}` | {default} | {meaning} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(settings_page())
