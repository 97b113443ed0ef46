"""A worker that is killed while iterations arrive at a rate: what it owed is missing, and the run says so."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from support.loadstone_run import CALM

if TYPE_CHECKING:
    from support.loadstone_run import LoadstoneRun

RATE, SECONDS = 200, 14
UNNOTICED_S, UNREPORTED_S = 2.0, 0.5
"""How long it may take until the others take over, and how much of what a worker did it may not have reported."""
SINGLE = 5
"""Requests that a busy machine sent a while after their iterations began: they seem to have been due then."""


def workers_by_share(run: LoadstoneRun) -> list[int]:
    return [len(event["data"]["workers"]) for event in run.events() if event["kind"] == "arrivals_shared"]


def intended_ms(run: LoadstoneRun) -> np.ndarray[Any, np.dtype[np.float64]]:
    """When the iterations of the archive should have begun, ascending."""
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    return np.sort(table["start"].astype("int64").to_numpy() / 1e6 - table["late_us"].to_numpy() / 1e3)


@pytest.mark.fault(
    "a worker is killed (SIGKILL) while iterations arrive at a rate",
    verdict="inconclusive",
    shown="how many arrivals are accounted for, and how many the rate asks for; the other workers take over the rest",
)
def test_what_a_killed_worker_owed_is_missing_and_told(new_run, counting_server):
    load = ("--rate", f"{RATE}/s", "--arrivals", "constant", "-t", f"{SECONDS}s", "-r", "500", "--workers", "2")
    run = new_run("arrives", "--host", counting_server.url, *load, *CALM).start()
    run.wait_for(lambda: counting_server.count().total > 3 * RATE or None)
    run.part("locust", "--worker ").send_signal(signal.SIGKILL)
    assert run.finish(120) == 3, run.output
    found, total = run.run_json(), counting_server.count().total
    arrivals, unknown = found["summary"]["window"]["arrivals"], found["ledgers"]["archive"]["unknown"]
    assert found["verdict"] == "inconclusive"
    assert arrivals["expected"] == pytest.approx(RATE * SECONDS, abs=0.02 * RATE)
    accounted = (
        f"{arrivals['planned']:,} arrivals are accounted for, where the rate asks for {arrivals['expected']:,.0f}"
    )
    assert any(reason.startswith(accounted) for reason in found["reasons"]), found["reasons"]
    assert arrivals["planned"] == arrivals["sent"] + arrivals["not_sent"] + arrivals["cut_off"]
    assert abs(arrivals["sent"] - run.rows()) <= 1, "an iteration of the killed worker may have been in flight"
    assert run.rows() < total <= run.rows() + unknown, "what it sent and did not report is unknown"
    assert 0 < arrivals["expected"] - arrivals["planned"] < RATE / 2 * (UNNOTICED_S + UNREPORTED_S)
    assert workers_by_share(run) == [2, 1, 2], "another worker took its place"
    assert len(found["lost_workers"]) == 1
    close = np.count_nonzero(np.diff(intended_ms(run)) < 1000 / RATE / 2)
    assert close <= SINGLE, (
        "two workers that began the same arrivals would have done so for a fifth of a second or more"
    )
