"""The override file: limits by the keys that a service uses, and everything that would contradict them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadstone.rig.override import Limits, override_text

MIB = 1024**2
LIMITS = Limits(cpu_cores=0.25, mem_bytes=50 * MIB, memswap_bytes=50 * MIB)
NO_LIMITS = Limits(cpu_cores=None, mem_bytes=None)


def changed(config: dict[str, Any], limits: Limits = LIMITS, **labels: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(override_text("app", config, limits, labels))
    assert set(found["services"]) == {"app"}
    service: dict[str, Any] = found["services"]["app"]
    return service


@pytest.mark.parametrize("config", [{}, {"cpus": 1, "mem_limit": "536870912"}, {"deploy": {"replicas": 2}}])
def test_a_service_without_deployed_limits_gets_the_short_keys(config: dict[str, Any]):
    assert changed(config) == {"cpus": 0.25, "mem_limit": 50 * MIB, "memswap_limit": 50 * MIB}


def test_a_service_with_deployed_limits_gets_them_as_texts():
    found = changed({"deploy": {"resources": {"limits": {"memory": "104857600"}}}})
    assert found == {
        "deploy": {"resources": {"limits": {"cpus": "0.25", "memory": "52428800"}}},
        "memswap_limit": 50 * MIB,
    }


def test_a_service_that_says_both_gets_both():
    config = {"mem_limit": "1", "deploy": {"resources": {"limits": {"memory": "1"}}}}
    assert changed(config)["mem_limit"] == 50 * MIB
    assert "cpus" not in changed(config)


def test_what_contradicts_the_limits_gives_way():
    assert changed({"cpu_quota": 5000, "cpu_period": 10_000}).items() >= {"cpu_quota": 0, "cpu_period": 0}.items()
    assert changed({"mem_reservation": str(60 * MIB)})["mem_reservation"] == 50 * MIB
    assert "mem_reservation" not in changed({"mem_reservation": str(40 * MIB)})
    config = {"deploy": {"resources": {"reservations": {"memory": str(60 * MIB)}}}}
    assert changed(config)["deploy"] == {"resources": {"reservations": {"memory": str(50 * MIB)}}}


def test_no_limits_are_said_as_zero_and_swap_is_left_to_docker():
    assert changed({"cpus": 1}, NO_LIMITS) == {"cpus": 0, "mem_limit": 0}
    config = {"deploy": {"resources": {"limits": {"cpus": 1}}}}
    assert changed(config, NO_LIMITS) == {"deploy": {"resources": {"limits": {"cpus": "0", "memory": "0"}}}}


def test_labels_are_added():
    assert changed({}, NO_LIMITS, mine="x")["labels"] == {"mine": "x"}
