"""The usage charts of many containers: those beyond the most that are drawn share one series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun
from loadstone.charts.binned import Bins
from loadstone.charts.usage_series import admit, read_usage_series, usage_point
from loadstone.domain.units import MIB
from loadstone.domain.usage_tick import Usage
from support.closed_runs import closed
from support.run_maker import START, RunMaker

if TYPE_CHECKING:
    from pathlib import Path


def own_of(rows: list[Usage]) -> list[str]:
    own: list[str] = []
    admit(own, rows)
    return own


def test_the_containers_that_share_a_series_are_added_up_but_for_the_share_that_is_throttled():
    rows = [
        Usage(service="s", container=f"s-{at:02}", cpu_cores=0.5, mem_bytes=2 * MIB, throttled_pct=float(at))
        for at in range(24)
    ]
    point = usage_point(rows, own_of(rows))
    shared = {chart: values["other containers"] for chart, values in point.items()}
    assert shared == {"cpu": 3.0, "memory": 12.0, "throttled": 23.0}
    assert {chart: len(values) for chart, values in point.items()} == {"cpu": 19, "memory": 19, "throttled": 19}


def test_containers_without_a_figure_share_no_series():
    rows = [Usage(service="s", container=f"s-{at:02}", cpu_cores=0.5) for at in range(24)]
    assert usage_point(rows, own_of(rows))["throttled"] == {}


def rows_of(second: int) -> list[Usage]:
    """A container that is idle and one of the target's, and 24 workers, the last of which are the busiest."""
    workers = [Usage(service="worker", container=f"worker-{at:02}", cpu_cores=0.1 * (at + 1)) for at in range(24)]
    missing = {f"worker-{second % 24:02}"}
    idle = Usage(service="a", container="a-1", cpu_cores=0.0)
    target = Usage(service="target", container="target-1", cpu_cores=0.05)
    return [idle, *(each for each in workers if each.container not in missing), target]


BUSIEST = [f"worker-{at:02}" for at in range(23, 6, -1)]


def test_containers_of_the_target_come_first_then_the_busiest():
    assert own_of([*rows_of(30), Usage(service="worker", container="worker-06", cpu_cores=0.7)]) == [
        "target-1",
        *BUSIEST,
    ]


def test_a_container_keeps_its_series_when_another_one_is_missing_for_a_moment(tmp_path: Path):
    made = RunMaker().started()
    for second in range(30):
        made.usage(second + 0.5, *rows_of(second))
    run = ClosedRun.open(closed(tmp_path / "r", made.stopped(30).entries, 30))
    series = read_usage_series(run.usage(), Bins(begin=START // 1_000_000_000, seconds=30, step_s=1))["cpu"]
    assert list(series) == ["target-1", *BUSIEST, "other containers"]
    assert [at for at, value in enumerate(series["worker-20"]) if value is None] == [20]
    assert {value for value in series["worker-20"] if value is not None} == {2.1}
