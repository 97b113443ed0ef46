"""Replicas behind a real HAProxy: killing, draining and scaling them under load fails no request."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from target_helpers import ROOT, TargetProcess, end

from support.balancing import balanced
from support.processes import free_port, port_answers, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = ROOT / "target" / "balancer" / "haproxy.cfg"
ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
CONNECTIONS = 500
SERVED = 'target_predict_requests_total{outcome="ok"}'
LOAD_S = 25.0


@pytest.fixture
def replicas(trained: Path) -> Iterator[list[TargetProcess]]:
    port = str(free_port())
    with ExitStack() as stack:
        started = []
        for address in ADDRESSES:
            started.append(TargetProcess(trained, TARGET_HOST=address, TARGET_PORT=port, TARGET_DRAIN_SECONDS="2"))
            stack.callback(end, started[-1])
        for replica in started:
            replica.wait_ready()
        yield started


def _load(port: int, example: Any, seconds: Any):
    """Start the load generator; its result is on standard output when it ends."""
    plan = {
        "port": port,
        "users": CONNECTIONS,
        "seconds": seconds,
        "think_s": [0.2, 0.6],
        "bodies": [json.dumps({"inputs": row}) for row in example],
    }
    started = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/bench/target/load.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    started.stdin.write(json.dumps(plan))
    started.stdin.close()
    return started


def _result(load: Any):
    with load.stdout as stream:
        text = stream.read()
    assert load.wait() == 0
    return json.loads(text)


def test_killing_draining_and_scaling_replicas_under_500_connections_fails_no_request(haproxy: Any, replicas: Any):
    first, second, third = replicas
    target = f"target.test:{first.port}"
    with balanced(haproxy, CONFIGURATION, target, BALANCER_REPLAY="on") as (balancer, names):
        names.addresses = ADDRESSES[:1]
        balancer.wait_for(["UP"])
        load = _load(balancer.port, first.get("/info").json()["input_example"], LOAD_S)
        wait_until(lambda: first.metric(SERVED) > 1000, "the load has begun", timeout_s=60)
        names.addresses = ADDRESSES
        balancer.wait_for(["UP", "UP", "UP"])
        wait_until(lambda: second.metric(SERVED) > 0, "the second replica serves", timeout_s=60)
        second.process.send_signal(signal.SIGKILL)
        balancer.wait_for(["DOWN", "UP", "UP"])
        third.process.send_signal(signal.SIGTERM)
        balancer.wait_for(["DOWN", "NOLB", "UP"])
        assert third.wait() == 0
        names.addresses = ADDRESSES[:1]
        balancer.wait_for(["UP"])
        result = _result(load)
        assert result["statuses"] == {"200": result["answered"]}
        assert result["failed"] == result["unanswered"] == 0
        assert result["connections"] == CONNECTIONS
        assert balancer.retries() > 0, "the kill affected no request, so this test proved nothing"
        assert "haproxy_backend_retry_warnings_total" in balancer.metrics()


def test_without_replay_the_client_sees_the_error_of_a_request_whose_replica_died(haproxy: Any, replicas: Any):
    first, second, _ = replicas
    with balanced(haproxy, CONFIGURATION, f"target.test:{first.port}") as (balancer, names):
        names.addresses = ADDRESSES[:2]
        balancer.wait_for(["UP", "UP"])
        load = _load(balancer.port, first.get("/info").json()["input_example"], 8.0)
        wait_until(lambda: second.metric(SERVED) > 500, "the second replica serves", timeout_s=60)
        second.process.send_signal(signal.SIGSTOP)  # it keeps the requests it has accepted
        time.sleep(1)
        second.process.send_signal(signal.SIGKILL)
        result = _result(load)
        assert set(result["statuses"]) - {"200"}, "no request was in the killed replica"
        assert result["statuses"]["200"] > result["failed"]


def test_a_full_queues_503_reaches_the_client_with_its_retry_after(haproxy: Any, trained: Path):
    settings = {"TARGET_MODE": "batched", "TARGET_QUEUE_ROWS": "20", "TARGET_BATCH_ROWS": "1"}
    port = str(free_port())
    replica = TargetProcess(trained, TARGET_HOST=ADDRESSES[0], TARGET_PORT=port, **settings)
    try:
        replica.wait_ready()
        rows = replica.get("/info").json()["input_example"]
        with balanced(haproxy, CONFIGURATION, f"target.test:{port}", BALANCER_REPLAY="on") as (balancer, names):
            names.addresses = ADDRESSES[:1]
            balancer.wait_for(["UP"])
            load = _load(balancer.port, rows, 4.0)
            seen = _first_503(f"http://127.0.0.1:{balancer.port}/predict", rows)
            result = _result(load)
        assert int(seen.headers["retry-after"]) >= 1
        assert seen.json()["detail"][0]["type"] == "overloaded"
        assert set(result["statuses"]) <= {"200", "503"}
    finally:
        end(replica)


def _first_503(url: Any, rows: list[Any]):
    end_s = time.monotonic() + 4
    while time.monotonic() < end_s:
        answer = httpx.post(url, json={"inputs": rows[0]}, timeout=30)
        if answer.status_code == 503:
            return answer
    raise AssertionError("the queue was never full")


def test_the_static_answer_needs_no_replica_and_keeps_the_connection(haproxy: Any):
    with balanced(haproxy, CONFIGURATION, "target.test:9") as (balancer, _):
        wait_until(lambda: port_answers(balancer.static_port), "the balancer answers", timeout_s=30)
        client = http.client.HTTPConnection("127.0.0.1", balancer.static_port, timeout=10)
        ports = set()
        for method, path, body in [
            ("GET", "/", None),
            ("POST", "/predict", b"x" * 100),
            ("POST", "/a", b"x" * 9000),
        ] * 3:
            client.request(method, path, body)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"{}")
            assert client.sock is not None
            ports.add(client.sock.getsockname()[1])
        client.close()
    assert len(ports) == 1
