"""What a run says about the target: it holds, it does not, or the run says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.trial import Outcome, TrialPlan, record_of
from loadstone.domain.event import EventKind
from loadstone.domain.usage_tick import Balance, Usage
from loadstone.rig.rig import Applied, Setting
from support import closed_runs
from support.closed_runs import MadeRun
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry
    from loadstone.capacity.study_record import TrialRecord

USERS = 5
AS_IT_IS = TrialPlan(users=USERS, window_s=20.0)


def made(results: Path, **run: object) -> ClosedRun:
    return ClosedRun.open(MadeRun(**{"seconds": 40, "rate": 60, **run}).close(results))  # type: ignore[arg-type]


def closed(results: Path, entries: list[Entry], seconds: float) -> ClosedRun:
    return ClosedRun.open(closed_runs.closed(results / "20260920-120000-aaaa", entries, seconds))


def run_of(**started: object) -> RunMaker:
    identity = {"users": USERS, "objectives": ["p95<500ms"], **started}
    return RunMaker(run="20260920-120000-aaaa").started(**identity)


def test_a_run_that_passes_holds(tmp_path: Path):
    trial = record_of(made(tmp_path, objectives=["p95<500ms"]), AS_IT_IS)
    assert (trial.run, trial.outcome, trial.reasons, trial.broke) == ("20260920-120000-aaaa", Outcome.HOLDS, (), False)
    assert trial.margin is not None
    assert trial.margin < 0


@pytest.mark.parametrize("users", [5, 500])
def test_under_a_rate_users_only_wait_so_their_number_says_nothing(tmp_path: Path, users: int):
    run = made(tmp_path, objectives=["p95<500ms"], late_ms=1.0, users=users)
    trial = record_of(run, TrialPlan(rate=60.0, window_s=20.0))
    assert (trial.outcome, trial.users, trial.rate) == (Outcome.HOLDS, None, 60.0)


def test_arrivals_that_were_not_sent_make_a_trial_invalid_unless_an_objective_fails_all_the_same(tmp_path: Path):
    plan = TrialPlan(rate=60.0, window_s=20.0)
    held = record_of(made(tmp_path / "a", objectives=["p95<500ms"], late_ms=1.0, not_sent=40), plan)
    assert (held.outcome, held.margin) == (Outcome.INVALID, None)
    assert "planned arrivals were not sent" in held.why
    missed = record_of(made(tmp_path / "b", objectives=["p95<20ms"], late_ms=1.0, not_sent=40), plan)
    assert missed.outcome == Outcome.FAILS
    assert missed.reasons[0].startswith("response time p95 is ")


def test_an_objective_that_only_lateness_made_fail_makes_a_trial_invalid(tmp_path: Path):
    run = made(tmp_path, objectives=["p95<500ms"], late_ms=600.0)
    trial = record_of(run, TrialPlan(rate=60.0, window_s=20.0))
    assert trial.outcome == Outcome.INVALID
    assert any("iterations began" in reason for reason in trial.reasons)


def test_a_plan_is_of_users_or_of_a_rate():
    with pytest.raises(ValueError, match="a load is a number of users or a rate"):
        _ = TrialPlan(window_s=20.0).load
    with pytest.raises(ValueError, match="a load is a number of users or a rate"):
        _ = TrialPlan(users=5, rate=5.0, window_s=20.0).load


def test_a_run_that_misses_an_objective_does_not_hold_and_says_by_how_much(tmp_path: Path):
    trial = record_of(made(tmp_path, objectives=["p95<20ms"]), AS_IT_IS)
    assert trial.outcome == Outcome.FAILS
    assert trial.reasons[0].startswith("p95 is ")
    assert trial.margin is not None
    assert trial.margin > 0.5


def test_a_missed_objective_decides_although_another_was_not_measured(tmp_path: Path):
    record = record_of(made(tmp_path, objectives=["cpu(nothing)<90%", "p95<20ms"]), PLAN)
    assert (record.outcome, record.objective) == ("does not hold", "p95<20ms")
    assert record.reasons == (record.reasons[0],)
    assert record.reasons[0].startswith("p95 is ")
    assert record.margin is not None
    assert record.margin > 0.5


def test_a_trial_that_holds_but_for_an_objective_that_was_not_measured_says_nothing(tmp_path: Path):
    record = record_of(made(tmp_path, objectives=["cpu(nothing)<90%", "p95<500ms"]), PLAN)
    assert (record.outcome, record.margin) == ("invalid", None)
    assert "nothing" in record.reasons[0]


def test_a_run_that_the_scenario_failed_although_all_objectives_held_says_nothing(tmp_path: Path):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of(exit_from="process").add(batch.batch(samples(400, 0, 20)))
    maker.stopped(20).event(EventKind.EXITED, 20.1, code=7, chosen=True).add(batch.batch(at_s=20.1, final=True))
    trial = record_of(closed(tmp_path, maker.entries, 20), AS_IT_IS)
    assert trial.outcome == Outcome.INVALID
    assert "exit code 7" in trial.reasons[0]


def test_an_inconclusive_run_says_nothing(tmp_path: Path):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of().add(batch.batch(samples(400, 0, 20), loop_lag_us=(200_000,) * 10))
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    trial = record_of(closed(tmp_path, maker.entries, 20), AS_IT_IS)
    assert trial.outcome == Outcome.INVALID
    assert trial.margin is None
    assert any("event loop lagged" in reason for reason in trial.reasons)


@pytest.mark.parametrize("objective", ["p95<500ms", "p95<1ms"])
@pytest.mark.parametrize(
    ("users", "cpu_pct", "reason"),
    [
        pytest.param(100, 20.0, "only 5 of 100 users ran", id="too-few-users"),
        pytest.param(5, 91.4, "worker 0 used 91 % of a core", id="busy-worker"),
    ],
)
def test_a_load_that_was_not_as_asked_says_nothing(
    tmp_path: Path, objective: str, users: int, cpu_pct: float, reason: str
):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of(objectives=[objective])
    for second in range(20):
        maker.add(batch.batch(samples(20, second, second + 1), cpu_pct=cpu_pct))
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    trial = record_of(closed(tmp_path, maker.entries, 20), TrialPlan(users=users, window_s=20.0))
    assert (trial.outcome, trial.broke) == (Outcome.INVALID, False)
    assert any(each.startswith(reason) for each in trial.reasons)


def test_memory_that_runs_out_decides_however_quick_the_answers_were(tmp_path: Path):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of().add(batch.batch(samples(400, 0, 20)))
    usage = Usage(
        service="target",
        container="target-1",
        cpu_cores=0.5,
        cpu_limit=1.0,
        throttled_pct=0.0,
        mem_bytes=500,
        mem_limit=512,
        oom=2,
    )
    calm = msgspec.structs.replace(usage, oom=0)
    maker.usage(1, calm).usage(10, usage).usage(19, calm)
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    trial = record_of(closed(tmp_path, maker.entries, 20), AS_IT_IS, "target")
    assert (trial.outcome, trial.broke, trial.margin) == (Outcome.FAILS, True, None)
    assert trial.reasons == ("target ran out of memory: 2 kills",)


@pytest.mark.parametrize(("at_s", "outcome"), [(10.0, Outcome.FAILS), (20.5, Outcome.HOLDS)])
def test_a_target_that_exits_decides_unless_the_load_had_ended(tmp_path: Path, at_s: float, outcome: Outcome):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of().add(batch.batch(samples(400, 0, 20)))
    if at_s < 20:
        maker.event(EventKind.TARGET_EXITED, at_s, code=1)
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    if at_s > 20:
        maker.event(EventKind.TARGET_EXITED, at_s, code=1)
    trial = record_of(closed(tmp_path, maker.entries, 20), AS_IT_IS)
    assert trial.outcome == outcome
    assert trial.broke is (outcome == Outcome.FAILS)


def test_a_latency_that_grows_to_the_end_is_not_proof_that_it_holds_and_is_proof_that_it_does_not(tmp_path: Path):
    def growing(objective: str, results: Path) -> Outcome:
        batch = IncarnationMaker(run="20260920-120000-aaaa")
        maker = run_of(objectives=[objective])
        for second in range(60):
            taken = [replace(each, duration_us=1_000 * (second + 1)) for each in samples(20, second, second + 1)]
            maker.add(batch.batch(taken))
        maker.stopped(60).add(batch.batch(at_s=60.1, final=True))
        return record_of(closed(results, maker.entries, 60), AS_IT_IS).outcome

    assert growing("p95<500ms", tmp_path / "holds") == Outcome.INVALID
    assert growing("p95<20ms", tmp_path / "fails") == Outcome.FAILS


USED = Usage(
    service="target",
    container="target-1",
    cpu_cores=0.98,
    cpu_limit=1.0,
    throttled_pct=83.0,
    mem_bytes=300,
    mem_limit=512,
)
PLAN = TrialPlan(users=USERS, window_s=20.0, setting=Setting(1.0, 512, 1))


def measured(results: Path, *rows: Usage, objective: str = "p95<500ms", balance: Balance | None = None) -> ClosedRun:
    """A run of 20 s in which these rows, and this balance, were measured every second."""
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of(objectives=[objective]).add(batch.batch(samples(400, 0, 20)))
    for second in range(20):
        maker.usage(second + 0.5, *rows, balances=(balance,) if balance else ())
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    return closed(results, maker.entries, 20)


def test_a_trial_of_a_setting_has_its_limits_and_what_one_replica_used(tmp_path: Path):
    applied = Applied(setting=Setting(1.0, 512, 1), read_back="the Docker Engine")
    record = record_of(measured(tmp_path, USED), PLAN, "target", applied)
    assert (record.outcome, record.setting, record.read_back) == ("holds", PLAN.setting, "the Docker Engine")
    assert (record.cpu_cores, record.throttled_pct) == (pytest.approx(0.98), pytest.approx(83.0))
    assert (record.peak_mem_bytes, record.idle_mem_bytes, record.bottleneck) == (300, 300, None)


def test_a_trial_that_does_not_hold_says_what_limited_the_target(tmp_path: Path):
    record = record_of(measured(tmp_path, USED, objective="p95<0.5ms"), PLAN, "target")
    assert (record.outcome, record.broke) == ("does not hold", False)
    assert record.bottleneck is not None
    assert record.bottleneck.cause == "cpu quota"
    assert "83 % of the periods, and p95 is" in record.bottleneck.evidence


def test_without_a_service_the_usage_of_the_target_is_told_and_is_not_judged(tmp_path: Path):
    assert record_of(measured(tmp_path / "seen", USED), TrialPlan(users=USERS, window_s=20.0)).cpu_cores is not None
    record = record_of(measured(tmp_path / "unseen"), TrialPlan(users=USERS, window_s=20.0))
    assert (record.outcome, record.cpu_cores, record.peak_mem_bytes) == ("holds", None, None)


@pytest.mark.parametrize("objective", ["p95<500ms", "p95<0.5ms"])
def test_a_service_that_was_named_and_not_measured_makes_a_trial_invalid(tmp_path: Path, objective: str):
    record = record_of(measured(tmp_path, objective=objective), PLAN, "target")
    assert (record.outcome, record.margin) == ("invalid", None)
    assert record.reasons[0].startswith("CPU and memory of target were not measured in the window")


def test_replicas_that_were_not_measured_make_a_trial_invalid(tmp_path: Path):
    plan = TrialPlan(users=USERS, window_s=20.0, setting=Setting(1.0, 512, 2))
    record = record_of(measured(tmp_path, USED), plan, "target")
    assert record.outcome == "invalid"
    assert record.reasons[0].startswith("CPU and memory of only 1 of 2 replicas were measured")


@pytest.mark.parametrize(("retries", "redispatches"), [(1, 0), (0, 1)])
def test_what_a_balancer_had_to_do_again_makes_a_trial_invalid(tmp_path: Path, retries: int, redispatches: int):
    balance = Balance(service="target", queue=0, retries=retries, redispatches=redispatches, up=1)
    record = record_of(measured(tmp_path, USED, balance=balance), PLAN, "target")
    assert record.outcome == "invalid"
    again, sent = 20 * retries, 20 * redispatches
    assert record.reasons == (
        f"the balancer tried {again} connections again and sent {sent} requests to another replica",
    )


@pytest.mark.parametrize(("throttled_pct", "outcome"), [(83.0, "does not hold"), (0.0, "invalid")])
def test_retries_of_a_trial_that_fails_count_unless_its_replicas_are_at_a_limit(
    tmp_path: Path, throttled_pct: float, outcome: str
):
    balance = Balance(service="target", queue=0, retries=1, redispatches=0, up=1)
    used = msgspec.structs.replace(USED, cpu_cores=0.7, throttled_pct=throttled_pct)
    record = record_of(measured(tmp_path, used, objective="p95<0.5ms", balance=balance), PLAN, "target")
    assert record.outcome == outcome


def test_a_balancer_that_had_nothing_to_do_again_is_no_flaw(tmp_path: Path):
    balance = Balance(service="target", queue=3, retries=0, redispatches=0, up=1)
    assert record_of(measured(tmp_path, USED, balance=balance), PLAN, "target").outcome == "holds"


@pytest.mark.parametrize(
    ("busy_pct", "cores", "objective", "outcome"),
    [
        pytest.param(99.0, 0.5, "p95<0.5ms", "invalid", id="it-waited-for-a-cpu"),
        pytest.param(90.0, 0.5, "p95<0.5ms", "does not hold", id="there-was-cpu-to-spare"),
        pytest.param(99.0, 0.98, "p95<0.5ms", "does not hold", id="it-was-at-a-limit-of-its-own"),
        pytest.param(99.0, 0.5, "p95<500ms", "does not hold", id="it-is-not-about-latency"),
    ],
)
def test_a_target_that_waited_for_a_cpu_of_the_workers_host_says_nothing_however_many_requests_it_refused(
    tmp_path: Path, busy_pct: float, cores: float, objective: str, outcome: str
):
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    taken = [*samples(200, 0, 20), *samples(200, 0.01, 20, error="HTTP 503", status=503)]
    maker = run_of(objectives=[objective, "failures<=1%"])
    maker.add(batch.batch(sorted(taken, key=lambda each: each.end_ns), host_busy_pct=busy_pct))
    for second in range(20):
        maker.usage(second + 0.5, msgspec.structs.replace(USED, cpu_cores=cores, cpu_limit=None, throttled_pct=0.0))
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True, host_busy_pct=busy_pct))
    record = record_of(closed(tmp_path, maker.entries, 20), AS_IT_IS, None)
    assert record.outcome == outcome


@pytest.mark.attack("somebody else loads the target during a study", "the trial is invalid")
@pytest.mark.parametrize("objective", ["p95<500ms", "p95<0.5ms"])
def test_requests_that_the_run_did_not_send_make_a_trial_invalid(tmp_path: Path, objective: str):
    balance = Balance(service="target", queue=0, retries=0, redispatches=0, up=1, requests=21)
    record = record_of(measured(tmp_path, USED, objective=objective, balance=balance), PLAN, "target")
    assert record.outcome == "invalid"
    (reason,) = record.reasons
    assert reason.startswith("the balancer got 420 requests and the run sent 400: somebody else's reach the target, or")


def test_memory_that_runs_out_under_requests_of_somebody_else_proves_nothing(tmp_path: Path):
    balance = Balance(service="target", queue=0, retries=0, redispatches=0, up=1, requests=40)
    killed = msgspec.structs.replace(USED, oom=1)
    record = record_of(measured(tmp_path, killed, balance=balance), PLAN, "target")
    assert (record.outcome, record.broke, record.bottleneck) == ("invalid", False, None)
    assert record.reasons[0].startswith("the balancer got 800 requests and the run sent 400")


@pytest.mark.parametrize("requests", [20, 3, None])
def test_a_balancer_that_got_no_more_than_the_run_sent_is_no_flaw(tmp_path: Path, requests: int | None):
    balance = Balance(service="target", queue=0, retries=0, redispatches=0, up=1, requests=requests)
    assert record_of(measured(tmp_path, USED, balance=balance), PLAN, "target").outcome == "holds"


def test_what_each_worker_asks_before_its_users_is_no_request_of_somebody_else(tmp_path: Path):
    workers = [IncarnationMaker(run="20260920-120000-aaaa", worker=number) for number in range(20)]
    maker = run_of()
    for worker in workers:
        maker.add(worker.batch(samples(20, 0, 20), users=1))
    balance = Balance(service="target", queue=0, retries=0, redispatches=0, up=1, requests=21)
    for second in range(20):
        maker.usage(second + 0.5, USED, balances=(balance,))
    maker.stopped(20)
    for worker in workers:
        maker.add(worker.batch(at_s=20.1, final=True))
    record = record_of(closed(tmp_path, maker.entries, 20), PLAN, "target")
    assert (record.outcome, record.reasons) == ("holds", ())


def without_figures_for_a_while(tmp_path: Path, objective: str) -> TrialRecord:
    """A run in which one of two replicas is not measured for three seconds."""
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of(objectives=[objective]).add(batch.batch(samples(400, 0, 20)))
    other = msgspec.structs.replace(USED, container="target-2")
    for second in range(20):
        maker.usage(second + 0.5, *((other,) if second in {9, 10, 11} else (USED, other)))
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    return record_of(closed(tmp_path, maker.entries, 20), PLAN, "target")


def test_a_replica_without_figures_for_a_while_makes_what_holds_doubtful(tmp_path: Path):
    record = without_figures_for_a_while(tmp_path, "p95<500ms")
    assert (record.outcome, record.broke, record.cpu_cores) == ("invalid", False, None)
    assert record.reasons[0].startswith("target-1 ended under load, or was measured late")


def test_a_replica_without_figures_for_a_while_is_no_excuse_for_what_does_not_hold(tmp_path: Path):
    record = without_figures_for_a_while(tmp_path, "p95<0.5ms")
    assert (record.outcome, record.broke) == ("does not hold", False)


LIMITED = msgspec.structs.replace(USED, mem_limit=512 * 1024**2)
OTHER = msgspec.structs.replace(LIMITED, container="target-2")


def under_limits(
    results: Path, first: Usage, later: Usage | None = None, *others: Usage, away: bool = False
) -> TrialRecord:
    """A trial of 1 CPU and 512m; the first replica has other rows from second 10 on, and may be missing for a while."""
    batch = IncarnationMaker(run="20260920-120000-aaaa")
    maker = run_of(objectives=["p95<0.5ms" if away else "p95<500ms"]).add(batch.batch(samples(400, 0, 20)))
    for second in range(20):
        row = first if later is None or second < 10 else later
        maker.usage(second + 0.5, *(() if away and second in {3, 4, 5} else (row,)), *others)
    maker.stopped(20).add(batch.batch(at_s=20.1, final=True))
    plan = TrialPlan(users=USERS, window_s=20, setting=Setting(1.0, 512 * 1024**2, 1 + len(others)))
    return record_of(closed(results, maker.entries, 20), plan, "target")


@pytest.mark.parametrize(
    ("later", "others", "had"),
    [
        pytest.param({"cpu_limit": 0.5}, (), "0.5 CPU or 1 CPU and 512m", id="lowered"),
        pytest.param({"cpu_limit": 4.0}, (), "1 CPU or 4 CPU and 512m", id="raised"),
        pytest.param({"cpu_limit": None}, (), "1 CPU or no limit of CPU and 512m", id="removed"),
        pytest.param({"mem_limit": 1024**3}, (), "1 CPU and 512m or 1g", id="more-memory"),
        pytest.param({"mem_limit": None}, (), "1 CPU and 512m or no limit of memory", id="any-memory"),
        pytest.param({}, ({"cpu_limit": None},), "1 CPU or no limit of CPU and 512m", id="one-replica-without"),
    ],
)
@pytest.mark.parametrize("away", [False, True])
def test_limits_that_were_not_those_of_the_setting_all_the_time_make_a_trial_invalid(
    tmp_path: Path, later: dict[str, Any], others: tuple[dict[str, Any], ...], had: str, *, away: bool
):
    changed = msgspec.structs.replace(LIMITED, **later)
    beside = [msgspec.structs.replace(OTHER, **other) for other in others or ({},)]
    record = under_limits(tmp_path, LIMITED, changed, *beside, away=away)
    assert record.outcome == "invalid"
    assert record.reasons == (f"target had {had} in the run and not 1 CPU and 512m x 2 replicas",)


def test_limits_that_were_those_of_the_setting_all_the_time_are_no_flaw(tmp_path: Path):
    assert under_limits(tmp_path / "one", LIMITED).outcome == "holds"
    assert under_limits(tmp_path / "two", LIMITED, None, OTHER).outcome == "holds"
    assert under_limits(tmp_path / "away", LIMITED, None, OTHER, away=True).outcome == "does not hold"
