"""``loadstone up``: Locust's web UI, and an archived folder for each run that is started there."""

from __future__ import annotations

import signal

import httpx

from support.loadstone_run import run_records
from support.processes import free_port, wait_until


def swarm(url: str, *, users: int) -> None:
    load = {"user_count": users, "spawn_rate": 50}
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


def ready(url: str) -> bool | None:
    """Whether both workers wait for work."""
    try:
        stats = httpx.get(f"{url}/stats/requests", trust_env=False, timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return None
    workers = [worker["state"] for worker in stats.get("workers", [])]
    return True if workers.count("ready") >= 2 else None
