"""``loadstone up``: Locust's web UI, and an archived folder for each run that is started there."""

from __future__ import annotations

import signal

import httpx
import pytest

from support.loadstone_run import run_records
from support.processes import free_port, wait_until


def swarm(url: str, *, users: int, **more: str) -> None:
    load = {"user_count": users, "spawn_rate": 50, **more}
    answer = httpx.post(f"{url}/swarm", data=load, headers={"Origin": url}, trust_env=False, timeout=30)
    assert answer.json()["success"], answer.text


def wait_until_closed(results, number: int) -> None:
    wait_until(lambda: len(run_records(results)) == number, f"{number} runs are closed", timeout_s=60)


def test_runs_started_in_the_web_ui_are_archived_one_folder_each(new_run, counting_server):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    up = new_run("mixed", "--host", counting_server.url, "--web-port", str(port), "--stop-timeout", "2", verb="up")
    up.start()
    up.wait_for(lambda: ready(url))
    for number, users in enumerate((4, 7), start=1):
        counting_server.reset()
        swarm(url, users=users)
        up.wait_for(lambda: counting_server.count().total > 50 or None)
        httpx.post(f"{url}/stop", headers={"Origin": url}, trust_env=False, timeout=90).raise_for_status()
        wait_until_closed(up.results, number)
        run = run_records(up.results)[-1]
        assert (run["requests"], run["users"]) == (counting_server.count().total, users)
        up.wait_for(lambda: ready(url))
    up.send(signal.SIGINT)
    assert up.finish() == 0, up.output
    assert not up.left_behind()


def test_the_addresses_of_the_pages_are_told_when_they_answer(new_run, counting_server):
    up = new_run("mixed", "--host", counting_server.url, "--web-port", str(free_port()), verb="up").start()
    told = {}
    while len(told) < 2:
        line = up.process.stdout.readline()
        assert line, "it ended before it told both"
        name, _, url = line.rpartition(": ")
        if name in {"Locust's web UI", "live page"}:
            told[name] = httpx.get(url.strip(), trust_env=False, timeout=30).status_code
    assert set(told.values()) == {200}
    up.send(signal.SIGINT)
    assert up.finish() == 0, up.output


def test_a_rate_in_the_form_starts_an_open_model_and_an_empty_one_a_closed_model(new_run, counting_server):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    up = new_run("arrives", "--host", counting_server.url, "--web-port", str(port), "--arrivals", "constant", verb="up")
    up.start()
    for number, rate in enumerate(("50/s", ""), start=1):
        up.wait_for(lambda: ready(url))
        counting_server.reset()
        swarm(url, users=2, rate_of_arrivals=rate)
        up.wait_for(lambda: counting_server.count().total > 100 or None)
        httpx.post(f"{url}/stop", headers={"Origin": url}, trust_env=False, timeout=90).raise_for_status()
        wait_until_closed(up.results, number)
    opened, closed = sorted(run_records(up.results), key=lambda run: run["id"])
    assert (opened["rate"], opened["arrivals_spread"], opened["users"]) == (["50/s"], "constant", 100)
    arrivals = opened["summary"]["run"]["arrivals"]
    assert arrivals["sent"] == opened["requests"] == pytest.approx(50 * opened["window"]["seconds"], abs=10)
    assert (closed["rate"], closed["arrivals_spread"], closed["users"]) == ([], None, 2)
    assert closed["requests"] == counting_server.count().total
    up.send(signal.SIGINT)
    assert up.finish() == 0, up.output


def ready(url: str) -> bool | None:
    """Whether both workers wait for work."""
    try:
        stats = httpx.get(f"{url}/stats/requests", trust_env=False, timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return None
    workers = [worker["state"] for worker in stats.get("workers", [])]
    return True if workers.count("ready") >= 2 else None
