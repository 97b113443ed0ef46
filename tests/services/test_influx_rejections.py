"""What a real InfluxDB 1.6.7 rejects: exact counts, in few requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.settings import InfluxSettings, load

if TYPE_CHECKING:
    from loadstone.influx.answer import WriteAnswer
    from support.influx_server import InfluxServer

N = 10_000
SHORT = "short"


class CountingClient(InfluxClient):
    """The client, which counts its requests."""

    requests = 0

    def write(self, lines: bytes) -> WriteAnswer:
        self.requests += 1
        return super().write(lines)


@pytest.mark.attack("points beyond retention", "rejected with their exact number, in a handful of requests")
@pytest.mark.parametrize(
    ("kinds", "rejected", "most_requests"),
    [
        pytest.param(["old"], N, 1, id="all beyond retention"),
        pytest.param(["old", "good"], N // 2, 2, id="every second one beyond retention"),
        pytest.param(["good", "float"], N // 2, 2, id="every second one of another type"),
        pytest.param(["good", "unreadable", "good", "good"], N // 4, 2, id="every fourth one unreadable"),
    ],
)
def test_rejected_lines_are_counted_exactly_in_few_requests(
    influxdb: InfluxServer, kinds: list[str], rejected: int, most_requests: int
):
    influxdb.create_database(SHORT, keeps="2h")
    now_ns = time.time_ns()
    forms = {"good": "m v=1i {new}", "float": "m v=1.5 {new}", "unreadable": "m v= {new}", "old": "m v=1i {old}"}
    settings = load(InfluxSettings, {"influx_url": influxdb.url, "influx_bucket": SHORT}, environ={})
    client = CountingClient(settings, now_s=time.time)
    delivery = Delivery(client, lambda _: None, refused_pause_s=1)
    assert delivery.deliver([f"m v=1i {now_ns - 1}"]) == []
    lines = [forms[kinds[at % len(kinds)]].format(new=now_ns + at, old=at) for at in range(N)]
    before = client.requests
    assert len(delivery.deliver(lines)) == rejected
    assert client.requests - before <= most_requests
    assert influxdb.count("m", "v", db=SHORT) == N - rejected + 1
    client.close()
