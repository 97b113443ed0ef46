"""The Aggregator on a full disk, and two Aggregators of one deployment."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from support.collecting import collector_settings, program, run_json, ship, small_run
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("recent_runs")
QUOTA_BYTES = 100_000


@pytest.mark.attack("the disk is full under the journal", "it is told, and nothing is lost")
def test_a_disk_that_is_full_under_the_journal_is_told_and_loses_nothing(valkey: RedisServer, tmp_path: Path):
    """The quota is the kernel's limit on the size of a file, lifted while the Aggregator runs."""
    settings, log = collector_settings(valkey.url, tmp_path / "results", None), tmp_path / "a.log"
    client, run = valkey.client(), small_run(workers=2, batches=40, per_batch=100)
    aggregator = program(settings, "aggregator", log).start()
    try:
        wait_until(lambda: bool(client.exists("lease:aggregator")), "it serves", timeout_s=30)
        limits = resource.prlimit(aggregator.pid, resource.RLIMIT_FSIZE, (QUOTA_BYTES, resource.RLIM_INFINITY))
        ship(client, run.entries)
        wait_until(lambda: "cannot write the journal" in log.read_text(), "it says what is wrong", timeout_s=30)
        assert client.xlen("samples") > 0
        assert not run_json(tmp_path / "results")
        resource.prlimit(aggregator.pid, resource.RLIMIT_FSIZE, limits)
        wait_until(lambda: bool(run_json(tmp_path / "results")), "the run is archived", timeout_s=30)
    finally:
        aggregator.kill()
    document = run_json(tmp_path / "results")
    assert document["requests"] == document["ledgers"]["archive"]["stored"] == 8000
    assert document["ledgers"]["archive"]["balances"]


def test_a_second_aggregator_waits_for_the_lease_and_takes_over_when_the_first_is_killed(
    valkey: RedisServer, tmp_path: Path
):
    settings = collector_settings(valkey.url, tmp_path / "results", None)
    client, run = valkey.client(), small_run(batches=20)
    first = program(settings, "aggregator", tmp_path / "1.log").start()
    wait_until(lambda: bool(client.exists("lease:aggregator")), "the first one serves", timeout_s=30)
    second = program(settings, "aggregator", tmp_path / "2.log").start()
    try:
        ship(client, run.entries[:20])
        wait_until(lambda: "state=open" in (tmp_path / "1.log").read_text(), "the first one has the run", timeout_s=30)
        first.kill()
        ship(client, run.entries[20:])
        wait_until(lambda: bool(run_json(tmp_path / "results")), "the second one closes the run", timeout_s=30)
    finally:
        first.kill()
        second.kill()
    assert "state=open" in (tmp_path / "2.log").read_text()
    assert run_json(tmp_path / "results")["requests"] == 2000
