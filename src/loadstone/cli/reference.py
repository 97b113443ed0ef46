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
    InfluxSetupSettings,
    RunRequest,
    RunSettings,
    StackSettings,
    UsageSettings,
    WorkerSettings,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.settings import Setting

__all__ = ["env_file", "settings_page"]

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
    "`POST /loadstone/runs` of a stack's master": (RunRequest, "Fields of the JSON object; `run --stack` sends them."),
    "`loadstone setup influx`": (InfluxSetupSettings, "By environment variable only; the stack sets them."),
    "The compose stack": (
        StackSettings,
        "By environment variable or by a file: `docker compose --env-file env up`. The file `env` has them all.",
    ),
}
_VARIABLES_ONLY: Final = (HookSettings, InfluxSetupSettings, StackSettings)
_HEAD: Final = """# Settings

Every setting can be given as an option, as an environment variable, or in a TOML file named with `--config` (the key
is the option without dashes in front, with `_` inside). An option wins over the environment, that over the file, and
that over the default. `NAME_FILE` names a file that holds the value of the variable `NAME`. All values are checked
together before anything starts. This page is made by
`python -m loadstone.cli.reference`.
"""
_ENV_HEAD: Final = """# Every setting of the compose stack at its default; `docker compose up` works with nothing set.
# Change what you need and name the file: docker compose --env-file env up. Compose also reads a file `.env` by itself.
# Made by `python -m loadstone.cli.reference env`.
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
        option = _option(record, each)
        default = "one per core, at least 2" if each.name == _COUNTED_CORES else each.default or ""
        meaning = each.help.replace("|", "\\|")
        variable = "" if record is RunRequest else f"`{each.env}`"
        yield f"| {option} | {variable} | {default} | {meaning} |"
    yield ""


def _option(record: type[Any], each: Setting) -> str:
    if record is RunRequest:
        return f"`{each.name}`"
    if record in _VARIABLES_ONLY:
        return ""
    return f"`{each.short}`, `{each.option}`" if each.short else f"`{each.option}`"


def env_file() -> str:
    """The file `env`: every setting of the stack with its meaning, at its default."""
    settings = (f"# {each.help}\n{each.env}={each.default}\n" for each in describe(StackSettings))
    return "\n".join([_ENV_HEAD, *settings])


if __name__ == "__main__":
    sys.stdout.write(env_file() if sys.argv[1:] == ["env"] else settings_page())
