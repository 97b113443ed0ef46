"""Foreign traffic: what counts as somebody else's requests; time and counters are doubles."""

from __future__ import annotations

import pytest

from loadstone.errors import UsageError
from loadstone.rig.foreign_traffic import Received, check_quiet, packets_in
from support.fake_clock import FakeClock


class Target:
    """Stands for replicas and their balancer: so many packets and requests a second."""

    def __init__(self, packets_per_s: dict[str, int], requests_per_s: int | None) -> None:
        self.clock = FakeClock()
        self.begun_s = self.clock.monotonic_s
        self.packets_per_s, self.requests_per_s = packets_per_s, requests_per_s

    def received(self) -> Received:
        seconds = round(self.clock.monotonic_s - self.begun_s, 3)
        requests = None if self.requests_per_s is None else 1000 + int(seconds * self.requests_per_s)
        return Received(requests, {name: 77 + int(seconds * rate) for name, rate in self.packets_per_s.items()})

    def watch(self) -> None:
        check_quiet(self.received, lambda: False, sleep=self.clock.advance, monotonic_s=lambda: self.clock.monotonic_s)


def test_health_checks_of_a_balancer_are_no_foreign_traffic():
    target = Target({"a": 7, "b": 7}, 0)
    target.watch()
    assert target.clock.monotonic_s - target.begun_s == pytest.approx(5, abs=0.3)


def test_every_request_that_the_balancer_counted_is_foreign():
    with pytest.raises(UsageError, match=r"requests that are not the study's reach the target \(5 in 5 s\)"):
        Target({"a": 7}, 1).watch()


def test_packets_beyond_health_checks_at_any_replica_are_foreign():
    with pytest.raises(UsageError, match=r"reach the target \(\d+ packets at one replica in 5 s\)"):
        Target({"a": 0, "b": 40}, None).watch()


def test_somebody_who_gives_up_does_not_wait():
    target = Target({"a": 900}, 100)
    check_quiet(target.received, lambda: True, sleep=target.clock.advance)
    assert target.clock.monotonic_s == target.begun_s


def test_packets_of_all_networks_count():
    assert packets_in({"networks": {"eth0": {"rx_packets": 3}, "eth1": {"rx_packets": 4}}}) == 7
    assert packets_in({}) == 0
