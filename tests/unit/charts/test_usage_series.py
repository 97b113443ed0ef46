"""The usage charts of many containers: those beyond the most that are drawn share one series."""

from __future__ import annotations

from loadstone.charts.usage_series import usage_point
from loadstone.domain.units import MIB
from loadstone.domain.usage_tick import Usage


def test_the_containers_that_share_a_series_are_added_up_but_for_the_share_that_is_throttled():
    rows = [
        Usage(service="s", container=f"s-{at:02}", cpu_cores=0.5, mem_bytes=2 * MIB, throttled_pct=float(at))
        for at in range(24)
    ]
    point = usage_point(rows)
    shared = {chart: values["other containers"] for chart, values in point.items()}
    assert shared == {"cpu": 3.0, "memory": 12.0, "throttled": 23.0}
    assert {chart: len(values) for chart, values in point.items()} == {"cpu": 19, "memory": 19, "throttled": 19}


def test_containers_without_a_figure_share_no_series():
    rows = [Usage(service="s", container=f"s-{at:02}", cpu_cores=0.5) for at in range(24)]
    assert usage_point(rows)["throttled"] == {}
