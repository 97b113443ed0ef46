"""What limited a target, told from figures of one trial."""

from __future__ import annotations

from typing import Any

import pytest

from loadstone.archive.run_record import BalancerRecord
from loadstone.capacity.bottleneck import Symptoms, bottleneck_of
from loadstone.capacity.used import Used
from loadstone.domain.units import MIB

MISSED = "p95 is 812 ms, must be < 500 ms"


def found(balancer: BalancerRecord | None = None, *, is_slow: bool = True, ended: bool = False, **used: Any) -> Any:
    cores = used.pop("cores", 0.3)
    figures = {
        "replicas": 2,
        "cpu_cores": cores,
        "busiest_cores": cores,
        "idlest_cores": cores,
        "cpu_limits": (used.pop("cpu_limit", 1.0),),
        "throttled_pct": 0.0,
        "peak_mem_bytes": 200 * MIB,
        "mem_limits": (used.pop("mem_limit", 512 * MIB),),
    }
    symptoms = Symptoms(missed=MISSED, is_slow=is_slow, ended=ended, used=Used(**(figures | used)), balancer=balancer)
    return bottleneck_of(symptoms)


def queue(mean: float) -> BalancerRecord:
    return BalancerRecord(queue_mean=mean, queue_max=40, retries=0, redispatches=0)


@pytest.mark.parametrize(("throttled_pct", "cause"), [(5.1, "cpu quota"), (5.0, "one core per process")])
def test_throttling_beyond_a_twentieth_of_the_periods_is_the_quota(throttled_pct: float, cause: str):
    assert found(cores=1.0, cpu_limit=2.0, throttled_pct=throttled_pct).cause == cause


def test_the_quota_is_told_with_its_share_of_periods():
    record = found(cores=0.48, cpu_limit=0.5, throttled_pct=83.2)
    assert record.evidence == f"the CPU quota of 0.5 CPU throttled it in 83 % of the periods, and {MISSED}"
    assert record.cure.startswith("Give each replica more CPU")


@pytest.mark.parametrize(("cores", "cause"), [(1.9, "cpu quota"), (1.89, "unknown")])
def test_where_nobody_counts_throttling_use_of_nearly_all_is_the_quota(cores: float, cause: str):
    assert found(cores=cores, cpu_limit=2.0, throttled_pct=None).cause == cause


@pytest.mark.parametrize("cores", [0.85, 1.0, 1.1])
@pytest.mark.parametrize("cpu_limit", [1.25, 4.0, None])
def test_a_core_used_of_clearly_more_is_one_core_per_process(cores: float, cpu_limit: float | None):
    record = found(cores=cores, cpu_limit=cpu_limit)
    assert record.cause == "one core per process"
    assert "more worker processes or replicas" in record.cure


@pytest.mark.parametrize(("cores", "cpu_limit"), [(0.84, 2.0), (1.11, 2.0), (0.9, 1.2)])
def test_less_or_more_than_a_core_or_a_limit_near_one_is_not_that(cores: float, cpu_limit: float):
    assert found(cores=cores, cpu_limit=cpu_limit).cause == "unknown"


def test_kills_are_memory_whatever_else_there_is():
    record = found(cores=1.0, throttled_pct=90.0, kills=2)
    assert (record.cause, record.evidence) == (
        "memory",
        "the kernel killed processes 2 times for want of memory, at the limit of 512m",
    )


@pytest.mark.parametrize(("held", "cause"), [(461, "memory"), (460, "unknown")])
def test_a_replica_that_ended_when_nearly_full_is_memory(held: int, cause: str):
    assert found(ended=True, peak_mem_bytes=held * MIB, busiest_cores=None).cause == cause


@pytest.mark.parametrize(("held", "cause"), [(487, "memory"), (486, "unknown")])
def test_a_working_set_at_the_limit_is_memory_where_cpu_explains_nothing(held: int, cause: str):
    assert found(peak_mem_bytes=held * MIB).cause == cause


def test_replicas_that_differ_by_a_factor_of_two_are_the_balancers_doing():
    record = found(cores=0.5, busiest_cores=0.8, idlest_cores=0.4, throttled_pct=60.0)
    assert record.cause == "balancer"
    assert record.evidence == "the busiest replica used 0.8 cores and the least busy one 0.4"
    assert found(cores=0.5, busiest_cores=0.79, idlest_cores=0.4, throttled_pct=60.0).cause == "cpu quota"
    assert found(busiest_cores=0.19, idlest_cores=0.01).cause == "downstream"


def test_a_queue_before_idle_replicas_is_the_balancer_and_before_busy_ones_it_is_not():
    record = found(queue(7.5), cores=0.3)
    assert record.cause == "balancer"
    assert "7.5 requests waited in the balancer's queue on average, 40 at most" in record.evidence
    assert found(queue(7.5), cores=0.97, throttled_pct=70.0).cause == "cpu quota"
    assert found(queue(0.9), cores=0.3).cause == "downstream"


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        pytest.param({"cores": 0.59}, "downstream", id="little-cpu"),
        pytest.param({"cores": 0.6}, "unknown", id="more-cpu"),
        pytest.param({"cores": 0.59, "cpu_limit": 4.0}, "downstream", id="of-many-cores"),
        pytest.param({"cores": 0.7, "cpu_limit": 4.0}, "unknown", id="a-thread-may-be-busy"),
        pytest.param({"cores": 0.2, "cpu_limit": 0.5}, "downstream", id="of-half-a-core"),
        pytest.param({"cores": 0.2, "peak_mem_bytes": 461 * MIB}, "unknown", id="much-memory"),
        pytest.param({"cores": 0.2, "is_slow": False}, "unknown", id="only-failures"),
    ],
)
def test_slow_answers_without_much_use_come_from_downstream(figures: dict[str, Any], cause: str):
    assert found(**figures).cause == cause


def test_what_explains_nothing_is_told_as_it_is():
    record = found(cores=1.8, cpu_limit=4.0, throttled_pct=1.5)
    assert record.cause == "unknown"
    assert record.evidence == (
        f"{MISSED}; the busiest replica used 1.8 of its 4 cores, throttled in 1.5 % of the periods;"
        " 200m of its 512m were held"
    )


def test_without_usage_nothing_is_claimed():
    record = bottleneck_of(Symptoms(missed=MISSED))
    assert (record.cause, record.evidence) == ("unknown", f"{MISSED}; CPU and memory of the target were not measured")
    assert "--target-pid" in record.cure
