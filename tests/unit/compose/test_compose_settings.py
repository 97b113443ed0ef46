"""The file `env`, the defaults in docker-compose.yaml and the reference page say the same, and every one is checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadstone.cli.reference import env_file, settings_page
from loadstone.errors import SettingsError
from loadstone.settings import InfluxSetupSettings, StackSettings, describe, load

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yaml"
GIVEN_BY_COMPOSE = {"COMPOSE_PROJECT_NAME"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
WRONG = {
    "LOADSTONE_UID": "me",
    "BIND_ADDRESS": "localhost",
    "LIVE_PORT": "99999",
    "SCENARIO": "../other.py",
    "TARGET_CPUS": "0",
    "TARGET_MEMORY": "lots",
    "TARGET_MODE": "fast",
    "BALANCER_REPLAY": "yes",
    "INFLUX_RETENTION": "a month",
}


def in_env() -> dict[str, str]:
    """Setting to default, as the file `env` has them."""
    return dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "env").read_text(), re.MULTILINE))


def in_compose() -> dict[str, set[str]]:
    """Setting to its defaults, as the compose file has them; "" where it has none."""
    found: dict[str, set[str]] = {}
    for name, default in VARIABLE.findall(COMPOSE.read_text()):
        found.setdefault(name, set()).add(default)
    return {name: defaults for name, defaults in found.items() if name not in GIVEN_BY_COMPOSE}


def on_page() -> dict[str, str]:
    """Setting to default, as the reference page has them."""
    section = (ROOT / "docs/reference/settings.md").read_text().partition("## The compose stack\n")[2]
    return dict(re.findall(r"^\|  \| `(\w+)` \| (.*?) \|", section.partition("\n## ")[0], re.MULTILINE))


def services() -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_env_compose_and_page_have_the_same_settings_with_the_same_defaults():
    declared = {each.env: each.default for each in describe(StackSettings)}
    assert in_env() == declared
    assert in_compose() == {name: {default} for name, default in declared.items()}
    assert on_page() == declared


def test_the_file_env_is_the_one_that_is_made():
    assert (ROOT / "env").read_text() == env_file()
    assert "## The compose stack" in settings_page()


def test_every_setting_is_handed_to_init_which_checks_it():
    assert set(services()["init"]["environment"]) == set(in_env())


def test_the_defaults_are_valid_and_every_wrong_value_is_told_at_once():
    load(StackSettings, environ=in_env())
    with pytest.raises(SettingsError) as told:
        load(StackSettings, environ={**in_env(), **WRONG})
    assert sorted(problem.split(" is ")[0] for problem in told.value.problems) == sorted(WRONG)


@pytest.mark.parametrize("name", list(services()))
def test_every_service_says_its_image_restart_policy_memory_and_how_healthy_it_is(name: str):
    service = services()[name]
    once = service["restart"] == "no"
    assert re.search(r":(\$\{LOADSTONE_TAG:-[\d.]+\}|v?\d+\.\d+[\w.-]*)$", service["image"]), "a pinned tag"
    assert service["mem_limit"]
    assert once or (service["restart"] == "unless-stopped" and service["healthcheck"]["test"])
    assert service["cap_drop"] == ["ALL"]
    for other, condition in service.get("depends_on", {}).items():
        awaited = "service_completed_successfully" if services()[other]["restart"] == "no" else "service_healthy"
        assert condition["condition"] == awaited, other


def test_ports_are_published_on_one_address_that_is_a_setting():
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)


def test_no_password_or_token_is_in_the_environment_of_a_service():
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|REDIS_URL", key):
                assert re.fullmatch(r"(/run/|/secrets/people/).+|", str(value)), (name, key)


@pytest.mark.parametrize("kept", ["30d", "72h", "1h", "60m", "3600s", "0", "1h30m", "52w"])
def test_a_retention_that_influxdb_takes_is_taken(kept: str):
    assert load(StackSettings, environ={"INFLUX_RETENTION": kept}).influx_retention == kept


@pytest.mark.attack("a retention that InfluxDB refuses", "refused by the settings, which say what is allowed")
@pytest.mark.parametrize(
    "kept",
    [
        *("30m", "3599s", "59m59s", "1s", "0s0", "infinite", "-1h", "3", "1.5h", "36501d"),
        pytest.param("9" * 30 + "w", id="a number of 30 digits"),
        pytest.param("9" * 400 + "d", id="a number of 400 digits"),
    ],
)
def test_a_retention_that_influxdb_refuses_is_refused_with_what_is_allowed(kept: str):
    with pytest.raises(SettingsError, match="INFLUX_RETENTION") as told:
        load(StackSettings, environ={"INFLUX_RETENTION": kept})
    assert "1h" in str(told.value)
    assert "forever" in str(told.value)


@pytest.mark.parametrize("kept", ["30m", "1s", "-1h"])
def test_the_one_shot_of_the_stack_refuses_it_too(kept: str):
    with pytest.raises(SettingsError, match="LOADSTONE_INFLUX_RETENTION"):
        load(InfluxSetupSettings, environ={"LOADSTONE_INFLUX_RETENTION": kept})
