"""Whether limits fit on a machine: beside the load, with what would fit where they do not."""

from __future__ import annotations

import pytest

from loadstone.errors import UsageError
from loadstone.rig.host_room import check_cpuset, check_room
from loadstone.rig.rig import Setting

GIB = 1024**3


def refused(*settings: Setting, cores: float = 4, mem_bytes: int = 8 * GIB, kept: float = 1) -> str:
    with pytest.raises(UsageError) as raised:
        check_room(settings, host_cores=cores, host_mem_bytes=mem_bytes, kept_cores=kept)
    return str(raised.value)


def test_what_fits_exactly_is_allowed():
    check_room([Setting(1.5, 4 * GIB, 2)], host_cores=4, host_mem_bytes=8 * GIB, kept_cores=1)


def test_all_replicas_count_and_cores_are_kept_for_the_load():
    said = refused(Setting(0.5, GIB, 1), Setting(1.25, GIB, 3))
    assert said == (
        "3 x 1.25 CPU are 3.75 cores, and this machine has 4, of which 1 is kept for the load."
        " 1 CPU for each of 3 replicas would fit"
    )


def test_one_replica_is_told_what_it_can_have():
    assert refused(Setting(2.5, GIB, 1), cores=2, kept=0.5).endswith("1.5 CPU for one replica would fit")


def test_a_machine_without_a_free_core_is_said_to_be_too_small():
    assert refused(Setting(0.1, GIB, 1), cores=2, kept=2).endswith("or use a larger machine")


def test_memory_of_all_replicas_counts_too():
    said = refused(Setting(0.5, 3 * GIB, 3), mem_bytes=8 * GIB)
    assert said == "3 x 3g are 9g of memory, and this machine has 8192m. 2730m for each of 3 replicas would fit"


@pytest.mark.parametrize(("cpuset", "cores"), [("1", 1), ("0-1", 2), ("0,2", 2), ("0-2,5", 4), ("3,5-6", 3)])
def test_limits_above_the_cpus_that_a_target_may_use_are_refused(cpuset: str, cores: int):
    check_cpuset([Setting(cores / 2, GIB, 2), Setting(0.1, GIB, 3)], cpuset)
    with pytest.raises(UsageError) as raised:
        check_cpuset([Setting(0.1, GIB, 1), Setting(cores / 2 + 0.1, GIB, 2)], cpuset)
    assert f"cores, and its cpuset {cpuset} has {cores}. {cores / 2:g} CPU for each of 2 replicas would fit" in str(
        raised.value
    )
