"""What replicas used, from the usage table of real closed runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.used import Used, used_by
from loadstone.domain.units import MIB
from loadstone.domain.usage_tick import Usage
from support.closed_runs import closed
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RUN = "20260920-120000-aaaa"
LOAD_S, END_S = 5, 25


def row(number: int = 1, service: str = "target", **changes: Any) -> Usage:
    figures = {
        "cpu_cores": 0.5,
        "cpu_limit": 1.0,
        "throttled_pct": 10.0,
        "mem_bytes": 200 * MIB,
        "mem_limit": 512 * MIB,
    }
    return Usage(service=service, container=f"{service}-{number}", **(figures | changes))


def used(results: Path, ticks: Iterable[tuple[float, tuple[Usage, ...]]], service: str = "target") -> Used:
    """The use in a run whose load begins after 5 s and ends after 25 s; all of it is the window."""
    maker, batch = RunMaker(run=RUN).started(users=5), IncarnationMaker(run=RUN)
    for at_s, rows in ticks:
        maker.usage(at_s, *rows)
    maker.add(batch.batch(samples(400, LOAD_S, END_S)))
    maker.stopped(END_S).add(batch.batch(at_s=END_S + 0.1, final=True))
    return used_by(ClosedRun.open(closed(results / RUN, maker.entries, END_S)), service)


def every_second(*rows: Usage) -> list[tuple[float, tuple[Usage, ...]]]:
    return [(at_s + 0.5, rows) for at_s in range(END_S)]


def test_figures_are_those_of_one_replica(tmp_path: Path):
    ticks = every_second(row(1, cpu_cores=0.6, throttled_pct=40.0), row(2, cpu_cores=0.2, cpu_limit=0.9))
    found = used(tmp_path, ticks)
    assert (found.replicas, found.cpu_cores) == (2, pytest.approx(0.4))
    assert (found.busiest_cores, found.idlest_cores) == (pytest.approx(0.6), pytest.approx(0.2))
    assert (found.throttled_pct, found.cpu_limit, found.mem_limit) == (pytest.approx(40.0), 0.9, 512 * MIB)
    assert (found.kills, found.away) == (0, ())


def test_every_limit_that_any_replica_had_is_told(tmp_path: Path):
    ticks = [
        (at_s, (row(1, cpu_limit=1.0 if at_s < 10 else 4.0), row(2, mem_limit=512 * MIB if at_s < 10 else None)))
        for at_s, _ in every_second(row())
    ]
    found = used(tmp_path, ticks)
    assert (found.cpu_limits, found.mem_limits) == ((1.0, 4.0), (512 * MIB, None))
    assert (found.cpu_limit, found.mem_limit) == (1.0, 512 * MIB)


def test_a_limit_that_was_not_told_before_a_first_one_is_not_taken_for_none(tmp_path: Path):
    ticks = [(at_s, (row(cpu_limit=None if at_s < 3 else 1.0),)) for at_s, _ in every_second(row())]
    assert used(tmp_path / "late", ticks).cpu_limits == (1.0,)
    assert used(tmp_path / "never", every_second(row(cpu_limit=None))).cpu_limits == (None,)


def test_memory_is_the_highest_of_one_and_what_that_one_held_before_the_load(tmp_path: Path):
    ticks = [
        (at_s + 0.5, (row(1, mem_bytes=(100 + 10 * at_s) * MIB), row(2, mem_bytes=90 * MIB))) for at_s in range(END_S)
    ]
    found = used(tmp_path, ticks)
    assert (found.peak_mem_bytes, found.idle_mem_bytes) == (340 * MIB, 100 * MIB)


def test_what_was_measured_under_load_only_does_not_tell_what_was_held_before(tmp_path: Path):
    found = used(tmp_path, [each for each in every_second(row()) if each[0] > LOAD_S + 1])
    assert (found.peak_mem_bytes, found.idle_mem_bytes) == (200 * MIB, None)


def test_a_replica_that_was_killed_held_its_limit_and_its_mean_use_is_not_known(tmp_path: Path):
    ticks = [
        (at_s, (row(oom=1 if at_s == 10.5 else 0),) if at_s < 12 else (row(mem_bytes=80 * MIB),))
        for at_s, _ in every_second(row())
    ]
    found = used(tmp_path, ticks)
    assert (found.kills, found.peak_mem_bytes) == (1, 512 * MIB)
    assert (found.cpu_cores, found.busiest_cores, found.throttled_pct) == (None, None, None)


def test_a_replica_that_is_missing_where_others_are_seen_was_away(tmp_path: Path):
    other = row(service="balancer")
    ticks = [(at_s, (other,) if 10 < at_s < 12 else (row(), other)) for at_s, _ in every_second(row())]
    found = used(tmp_path / "two", ticks)
    assert (found.away, found.cpu_cores) == (("target-1",), None)
    ticks = [(at_s, (other,) if 10 < at_s < 11 else (row(), other)) for at_s, _ in every_second(row())]
    found = used(tmp_path / "one", ticks)
    assert (found.away, found.cpu_cores) == ((), pytest.approx(0.5))


def test_a_replica_that_ends_and_stays_away_was_away(tmp_path: Path):
    ticks = [(at_s, (row(2),) if at_s > 20 else (row(1), row(2))) for at_s, _ in every_second(row())]
    assert used(tmp_path, ticks).away == ("target-1",)


def test_a_replica_that_is_not_there_yet_before_the_load_was_not_away(tmp_path: Path):
    ticks = [(at_s, (row(2),) if 1 < at_s < LOAD_S else (row(1), row(2))) for at_s, _ in every_second(row())]
    assert used(tmp_path, ticks).away == ()


def test_ticks_in_which_nobody_was_measured_say_nothing_about_replicas(tmp_path: Path):
    ticks = [each for each in every_second(row(), row(service="balancer")) if not 10 < each[0] < 15]
    found = used(tmp_path, ticks)
    assert (found.away, found.cpu_cores) == ((), pytest.approx(0.5))


def test_another_sampler_that_never_sees_the_target_says_nothing_about_it(tmp_path: Path):
    database = row(1, "db")
    turns = enumerate((row(), database, database, database))
    ticks = [(at_s + 0.1 * turn, (each,)) for turn, each in turns for at_s in range(END_S)]
    found = used(tmp_path, ticks)
    assert (found.away, found.cpu_cores) == ((), pytest.approx(0.5))


@pytest.mark.parametrize(("seconds", "known"), [(13, True), (12, False)])
def test_less_than_half_of_the_window_is_too_little_for_a_mean(tmp_path: Path, seconds: int, *, known: bool):
    found = used(tmp_path, every_second(row())[:seconds])
    assert (found.cpu_cores is not None) is known
    assert found.peak_mem_bytes == 200 * MIB


def test_a_service_that_nobody_measured_used_nothing_that_is_known(tmp_path: Path):
    assert used(tmp_path, every_second(row()), "other") == Used()
