"""The table "who reaches whom" in SECURITY.md is what the networks of the compose file make of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from support.reachability import PORTS, ROOT, SCENARIOS, by_networks, by_table

FOR_A_SCENARIO = {
    "locust-master": {"balancer:8000", "balancer:8404", "redis:6379", "collector:8090"},
    "locust-worker": {"balancer:8000", "balancer:8404", "redis:6379", "locust-master:5557", "locust-master:8089"},
}
OF_ITS_OWN = {"s3": (9333,)}
"""Ports that only the service itself uses."""


def services() -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    return found


def test_the_table_and_the_networks_say_the_same():
    assert by_table() == by_networks()


@pytest.mark.parametrize("service", SCENARIOS)
def test_a_scenario_reaches_no_store_no_page_and_nothing_that_watches_but_what_is_said(service: str):
    assert by_networks()[service] == FOR_A_SCENARIO[service]


@pytest.mark.parametrize(
    ("service", "near"),
    [
        ("locust-master", {"balancer", "redis", "locust-worker", "collector", "cli"}),
        ("locust-worker", {"balancer", "redis", "locust-master"}),
    ],
)
def test_a_scenario_shares_a_network_with_nobody_else(service: str, near: set[str]):
    own = set(services()[service]["networks"])
    assert {name for name, about in services().items() if own & set(about.get("networks", ()))} - {service} == near


def test_every_port_that_a_health_check_or_a_page_names_is_in_the_table():
    for name, service in services().items():
        said = re.findall(r"/dev/tcp/127\.0\.0\.1/(\d+)|127\.0\.0\.1:(\d+)", str(service.get("healthcheck", "")))
        published = [(port.rpartition(":")[2],) for port in service.get("ports", ())]
        ports = {int(port) for found in [*said, *published] for port in found if port}
        assert ports <= {*PORTS.get(name, ()), *OF_ITS_OWN.get(name, ())}, name


def test_only_the_engines_door_holds_the_socket_of_docker_and_it_has_no_network():
    assert [name for name, about in services().items() if "docker.sock:" in str(about.get("volumes"))] == ["engine"]
    assert services()["engine"]["network_mode"] == "none"


def test_cadvisor_sees_neither_sockets_nor_volumes_of_the_machine():
    mounted = {volume.partition(":")[0] for volume in services()["cadvisor"]["volumes"]}
    assert mounted == {"/sys", "/proc", "/var/lib/docker/image", "engine"}
    assert all(volume.endswith(":ro") for volume in services()["cadvisor"]["volumes"])
