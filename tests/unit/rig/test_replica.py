"""A replica as the engine describes it: its limits, whether it is ready, and what became of it."""

from __future__ import annotations

import pytest

from loadstone.rig.override import Limits
from loadstone.rig.replica import Replica
from loadstone.rig.rig import Setting, limits_text

DESCRIBED = {
    "Id": "ab",
    "Name": "/shop-api-1",
    "Image": "sha256:cd",
    "RestartCount": 0,
    "State": {"Status": "running", "OOMKilled": False, "ExitCode": 0, "Error": "", "Health": {"Status": "healthy"}},
    "HostConfig": {"NanoCpus": 250_000_000, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 0, "MemorySwap": 0},
    "Config": {"Image": "shop/api:1", "Labels": {"com.docker.compose.config-hash": "h1"}},
}


def replica(restarts: int = 0, **state: object) -> Replica:
    return Replica.of({**DESCRIBED, "RestartCount": restarts, "State": {**DESCRIBED["State"], **state}})


def test_a_replica_is_read_from_what_the_engine_says():
    found = replica()
    assert (found.name, found.image, found.config_hash, found.in_study) == ("shop-api-1", "shop/api:1", "h1", False)
    assert found.limits == Limits(cpu_cores=0.25, mem_bytes=None)
    assert (found.is_ready, found.broke) == (True, "")


@pytest.mark.parametrize("health", [None, {"Status": "none"}])
def test_without_a_health_check_running_is_ready(health: object):
    assert replica(Health=health).is_ready


@pytest.mark.parametrize("status", ["starting", "unhealthy"])
def test_with_one_it_has_to_be_healthy(status: str):
    found = replica(Health={"Status": status})
    assert (found.is_ready, found.broke) == (False, "")


@pytest.mark.parametrize(
    ("restarts", "state", "said", "killed"),
    [
        (0, {"Status": "exited", "ExitCode": 3}, "shop-api-1 ended while it started (exit 3)", False),
        (0, {"Status": "exited", "ExitCode": 137}, "shop-api-1 ended while it started (exit 137, killed)", True),
        (2, {"ExitCode": 1}, "shop-api-1 ended while it started (exit 1, 2 restarts)", False),
        (1, {"OOMKilled": True, "ExitCode": 137}, "shop-api-1 ran out of memory while it started, 1 restart", True),
        (
            0,
            {"Status": "exited", "ExitCode": 127, "Error": "no such file"},
            "shop-api-1 ended while it started (exit 127): no such file",
            False,
        ),
    ],
    ids=["exit", "killed", "restarts", "memory", "error"],
)
def test_a_replica_that_ends_restarts_or_lacks_memory_broke(
    restarts: int, state: dict[str, object], said: str, *, killed: bool
):
    found = replica(restarts, **state)
    assert (found.broke, found.was_killed) == (said, killed)


def test_limits_are_told_as_people_write_them():
    assert str(Setting(1.5, 512 * 1024**2, 2)) == "1.5 CPU and 512m x 2 replicas"
    assert limits_text(None, None) == "no limit of CPU and no limit of memory"
