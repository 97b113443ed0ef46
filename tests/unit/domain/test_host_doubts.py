"""The machine of the workers is out of CPU: which failing objectives that excuses, and what the reason says."""

import pytest

from loadstone.domain.facts import QueueUse, UsageProblem
from loadstone.domain.objective import parse_objectives
from loadstone.domain.verdict import judge
from support.fact_maker import facts, service, worker

FULL = {"host_busy_pct": 99.6, "host_stolen_pct": 0.0, "host_waiting_pct": 80.0}
ROOM = service(cpu_cores=0.41, cpu_limit=1.0, throttled_mean_pct=0.0)


def verdict(*texts, host=None, target=ROOM, lag_p99_ms=4.0, **changes):
    usage = {} if target is None else {"target": target}
    workers = (worker(0, cpu_pct=40.0, lag_p99_ms=lag_p99_ms, **(FULL if host is None else host)), worker(1))
    return judge(parse_objectives(texts), facts(usage=usage, workers=workers, **changes))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (ROOM, "inconclusive"),
        (service(cpu_cores=0.94, cpu_limit=1.0, throttled_mean_pct=4.9), "inconclusive"),
        (service(cpu_cores=0.95, cpu_limit=1.0), "fail"),
        (service(cpu_cores=0.5, cpu_limit=1.0, throttled_mean_pct=5.1), "fail"),
        (service(cpu_cores=0.98, cpu_limit=4.0), "fail"),  # one thread of one process
        (service(cpu_cores=1.96, cpu_limit=8.0, containers=2.0), "fail"),
        (service(cpu_cores=1.4, cpu_limit=4.0), "inconclusive"),
        (service(cpu_cores=0.6, cpu_limit=None), "inconclusive"),
        (service(cpu_cores=0.97, cpu_limit=None), "fail"),
        (service(cpu_cores=1.5, cpu_limit=None), "fail"),
        (service(cpu_cores=1.5, cpu_limit=None, containers=2.0), "inconclusive"),
    ],
)
def test_a_latency_fails_only_if_the_target_was_at_its_own_limit(target, expected):
    assert verdict("p95<50ms", target=target).word == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95<50ms", "inconclusive"),
        ("mean<10ms", "inconclusive"),
        ("rps>=100", "inconclusive"),
        ("rps<=1", "fail"),  # more CPU makes it no slower
        ("min>50ms", "fail"),
        ("cpu(target)<10%", "fail"),
        ("p95<500ms", "pass"),  # it holds all the same
        ("failures<=1%", "pass"),
    ],
)
def test_only_what_more_cpu_could_mend_is_excused(text, expected):
    assert verdict(text).word == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (FULL, "inconclusive"),
        ({"host_busy_pct": 95.1}, "inconclusive"),
        ({"host_busy_pct": 95.0, "host_stolen_pct": 0.0}, "fail"),
        ({"host_busy_pct": 60.0, "host_stolen_pct": 36.0}, "inconclusive"),
        ({"host_busy_pct": None}, "fail"),
    ],
)
def test_busy_and_stolen_time_together_fill_a_host(host, expected):
    assert verdict("p95<50ms", host=host).word == expected


def test_a_target_that_was_not_measured_is_excused_only_if_a_worker_on_the_full_host_lagged():
    assert verdict("p95<50ms", target=None, lag_p99_ms=4.0).word == "fail"
    assert verdict("p95<50ms", target=None, lag_p99_ms=6.0).word == "inconclusive"


def test_the_reason_says_where_the_time_was_and_names_only_what_was_measured():
    outcome = verdict("p95<50ms", queues={"target": QueueUse(mean=120.4, highest=312)})
    assert outcome.reasons[1] == (
        "the host of worker 0 was out of CPU (99.6 % busy, tasks waited for a CPU 80 % of the time). Where the time "
        "was: the target used 0.41 of its 1 cores and was not throttled; in the balancer's queue for target waited "
        "120.4 requests on average, 312 at most; the generator's workers used at most 40 % of a core and lagged by at "
        "most 4 ms (p99). p95<50ms may hold on a host with CPU to spare"
    )
    bare = verdict("p95<50ms", target=None, lag_p99_ms=6.0, host={"host_busy_pct": 99.0}).reasons[1]
    assert "the target's usage was not measured; the generator's workers used at most 40 % of a core" in bare
    assert "waited" not in bare


HIDDEN = "CPU and memory of containers are not recorded: cAdvisor knows no container"


def test_missing_figures_of_containers_make_objectives_of_usage_inconclusive():
    problems = (UsageProblem(HIDDEN, ticks=6, missing=6),)
    found = judge(parse_objectives(["cpu(target)<90%"]), facts(usage_problems=problems))
    assert (found.word, found.reasons) == ("inconclusive", (f"for 6 s of the window: {HIDDEN}",))
    assert found.notices == ()


def test_missing_figures_are_a_notice_where_nothing_depends_on_them():
    problems = (UsageProblem(HIDDEN, ticks=6, missing=6), UsageProblem("late", ticks=2, missing=0))
    found = judge(parse_objectives(["p95<1s"]), facts(usage_problems=problems))
    assert found.word == "pass"
    assert found.notices == (f"for 6 s of the window: {HIDDEN}", "for 2 s of the window: late")


def test_late_figures_are_a_notice_for_objectives_of_usage_too():
    found = judge(parse_objectives(["cpu(target)<90%"]), facts(usage_problems=(UsageProblem("late", 2, 0),)))
    assert (found.word, found.notices) == ("pass", ("for 2 s of the window: late",))
