"""Processes are killed during a run: it continues, and its numbers stay right or state how wrong they may be.

Each run is ended by an interrupt as soon as what the test is about has happened, however long that takes.
"""

from __future__ import annotations

import signal

from loadstone.stream.keys import DEAD_LETTERS

BUSY = ("-u", "20", "-r", "50", "-t", "90s")


def received(counting_server, more: int, since: int = 0):
    """A condition: the server has received this many requests, or that many since then."""
    return lambda: counting_server.count().total > since + more or None


def users_of(run, client) -> int:
    """Users that the run's newest live snapshot shows, 0 before there is one."""
    return (run.live(client) or {"users": 0})["users"]


def test_a_killed_worker_is_bounded_its_users_move_and_the_others_are_exact(new_run, counting_server, valkey):
    load = (*BUSY, "--workers", "3", "--redis-url", valkey.url)
    run = new_run("mixed", "--host", counting_server.url, *load).start()
    client = valkey.client()
    run.wait_for(lambda: users_of(run, client) == 20 or None)
    run.wait_for(received(counting_server, 400))
    run.part("--worker ").send_signal(signal.SIGKILL)
    run.wait_for_moved_users(20)
    run.wait_for(received(counting_server, 1000, since=counting_server.count().total))
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    found = run.run_json()
    lost = [incarnation for incarnation in found["boots"] if not incarnation["final"]]
    assert len(lost) == 1
    ledger, total = found["ledgers"]["archive"], counting_server.count().total
    assert ledger["stored"] <= total <= ledger["stored"] + ledger["unknown"]
    assert 0 < ledger["unknown"] < total / 2
    assert all(
        incarnation["produced"] == incarnation["stored"] + incarnation["dropped"]
        for incarnation in found["boots"]
        if incarnation["final"]
    )
    lost_at = next(event["at_ns"] for event in run.events() if event["kind"] == "worker_lost")
    later = [event for event in run.events() if event["kind"] == "users" and event["at_ns"] > lost_at]
    back_at = next(event["at_ns"] for event in later if event["data"]["users"] == 20)
    assert back_at - lost_at < 10e9, "the issue's own bound, far above what it takes"
    assert not client.exists(DEAD_LETTERS)
    assert not run.left_behind()


def test_a_killed_aggregator_and_a_killed_stream_server_lose_nothing_and_count_nothing_twice(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
    run.wait_for(received(counting_server, 200))
    for words in (("loadstone", "collector"), ("valkey-server",)):
        fallen = run.part(*words)
        fallen.send_signal(signal.SIGKILL)
        run.wait_for(lambda gone=fallen, words=words: run.part(*words).pid != gone.pid or None)
        run.wait_for(received(counting_server, 300, since=counting_server.count().total))
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    found, total = run.run_json(), counting_server.count().total
    ledger = found["ledgers"]["archive"]
    assert (run.rows(), found["requests"], ledger["produced"], ledger["dropped"]) == (total, total, total, 0)
    restarted = {event["data"]["part"] for event in run.events() if event["kind"] == "restarted"}
    assert restarted == {"aggregator", "valkey"}
    assert not run.left_behind()


def test_a_target_that_is_killed_under_load_fails_the_run(new_run):
    run = new_run(None, "-u", "5", "-r", "10", "-t", "90s", "--workers", "1").start()
    run.wait_for(lambda: next(iter(run.results.glob("*/journal")), None), timeout_s=60)
    run.part("inference", "serve").send_signal(signal.SIGKILL)
    assert run.finish() == 1, run.output
    found = run.run_json()
    assert found["verdict"] == "fail"
    assert any("target" in reason for reason in found["reasons"])
    assert not run.left_behind()


def test_a_killed_master_leaves_an_archived_inconclusive_run(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
    run.wait_for(received(counting_server, 200))
    run.part("--master ").send_signal(signal.SIGKILL)
    assert run.finish(110) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert any("master" in reason for reason in found["reasons"])
    assert found["requests"] == counting_server.count().total
    assert not run.left_behind()


def test_a_run_that_is_told_to_end_is_archived_and_leaves_nothing(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
    run.wait_for(received(counting_server, 20))
    assert run.ports()
    run.send(signal.SIGTERM)
    assert run.finish() == 130, run.output
    found = run.run_json()
    assert (run.rows(), found["requests"]) == (counting_server.count().total,) * 2
    assert "interrupted" in " ".join(found["reasons"])
    assert not run.left_behind()


def test_an_interrupt_before_the_run_begins_leaves_nothing(new_run, counting_server):
    for early in (("valkey-server",), ("--worker ",)):
        run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
        run.part(*early)
        run.send(signal.SIGINT)
        assert run.finish() == 130, run.output
        assert counting_server.count().total == 0
        assert not run.left_behind()


def test_a_worker_that_is_stopped_twice_at_once_leaves_after_its_last_batch(new_run, counting_server, valkey):
    """The second stop, as by a timer of the scenario beside the master's, must not end the process before the first."""
    load = ("-u", "4", "-r", "10", "-t", "30s", "--workers", "1", "--redis-url", valkey.url)
    run = new_run("stopped_twice", "--host", counting_server.url, *load)
    run.run()
    found = run.run_json()
    assert found["requests"] == counting_server.count().total > 50
    assert [incarnation["final"] for incarnation in found["boots"]] == [True]
    assert found["ledgers"]["archive"]["unknown"] == 0
