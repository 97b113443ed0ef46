"""Parts are killed in mid-run: the run goes on, and its numbers stay right or say how wrong they may be."""

from __future__ import annotations

import signal

BUSY = ("-u", "20", "-r", "50")


def users_over_time(run) -> list[tuple[float, int]]:
    begun = next(event["at_ns"] for event in run.events() if event["kind"] == "started")
    return [((e["at_ns"] - begun) / 1e9, e["data"]["users"]) for e in run.events() if e["kind"] == "users"]


def test_a_killed_worker_is_bounded_its_users_move_and_the_others_are_exact(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "22s", "--workers", "3").start()
    run.wait_for(lambda: counting_server.count().total > 400 or None)
    run.part("--worker ").send_signal(signal.SIGKILL)
    run.finish()
    found = run.run_json()
    lost = [boot for boot in found["boots"] if not boot["final"]]
    assert len(lost) == 1
    ledger = found["ledgers"]["archive"]
    received = counting_server.count().total
    assert ledger["stored"] <= received <= ledger["stored"] + ledger["unknown"]
    assert 0 < ledger["unknown"] < received / 2
    assert all(boot["produced"] == boot["stored"] + boot["dropped"] for boot in found["boots"] if boot["final"])
    lost_at = next(e["at_ns"] for e in run.events() if e["kind"] == "worker_lost")
    later = [event for event in run.events() if event["kind"] == "users" and event["at_ns"] > lost_at]
    back_at = next(event["at_ns"] for event in later if event["data"]["users"] == 20)
    assert back_at - lost_at < 10e9
    assert not run.left_behind()


def test_a_killed_aggregator_is_restarted_and_nothing_is_lost_or_counted_twice(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "12s").start()
    run.wait_for(lambda: counting_server.count().total > 200 or None)
    run.part("loadstone", "collector").send_signal(signal.SIGKILL)
    run.finish()
    found, received = run.run_json(), counting_server.count().total
    assert (run.rows(), found["requests"], found["ledgers"]["archive"]["produced"]) == (received,) * 3
    assert any(event["kind"] == "restarted" for event in run.events())
    assert not run.left_behind()


def test_a_killed_stream_server_is_restarted_and_nothing_is_lost(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "12s").start()
    run.wait_for(lambda: counting_server.count().total > 200 or None)
    run.part("valkey-server").send_signal(signal.SIGKILL)
    run.finish()
    found, received = run.run_json(), counting_server.count().total
    assert (run.rows(), found["requests"], found["ledgers"]["archive"]["dropped"]) == (received, received, 0)
    assert not run.left_behind()


def test_a_target_that_is_killed_under_load_fails_the_run(new_run):
    run = new_run(None, "-u", "5", "-r", "10", "-t", "40s", "--workers", "1").start()
    run.wait_for(lambda: next(iter(run.results.glob("*/journal")), None), timeout_s=60)
    run.part("inference", "serve").send_signal(signal.SIGKILL)
    assert run.finish() == 1, run.output
    found = run.run_json()
    assert found["verdict"] == "fail"
    assert any("target" in reason for reason in found["reasons"])
    assert not run.left_behind()


def test_a_killed_master_leaves_an_archived_inconclusive_run(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "60s").start()
    run.wait_for(lambda: counting_server.count().total > 200 or None)
    run.part("--master ").send_signal(signal.SIGKILL)
    assert run.finish(120) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert any("master" in reason for reason in found["reasons"])
    assert found["requests"] == counting_server.count().total
    assert not run.left_behind()


def test_an_interrupted_run_is_archived_and_leaves_nothing(new_run, counting_server):
    for number in (signal.SIGINT, signal.SIGTERM):
        counting_server.reset()
        run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "60s").start()
        run.wait_for(lambda: counting_server.count().total > 100 or None)
        run.send(number)
        assert run.finish() == 130, run.output
        found = run.run_json()
        assert (run.rows(), found["requests"]) == (counting_server.count().total,) * 2
        assert "interrupted" in " ".join(found["reasons"])
        assert not run.left_behind()


def test_an_interrupt_before_the_run_begins_leaves_nothing(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY, "-t", "60s").start()
    run.part("valkey-server")
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    assert not run.left_behind()
