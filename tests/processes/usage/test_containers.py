"""Counters of containers become usage, from cAdvisor or the Docker Engine, whatever is restarted or missing."""

from __future__ import annotations

import socketserver
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.domain.usage_tick import Balance
from loadstone.usage.balancer import Balancer, addresses_of
from loadstone.usage.cadvisor import parse_exposition, readings_of
from loadstone.usage.docker_engine import reading_of
from loadstone.usage.reading import CounterRates, Reading, SourceError
from support.processes import free_port
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIXTURE = Path(__file__).parent / "cadvisor" / "prometheus_metrics.txt"
SECOND = 1_000_000_000
AT_MS = 1_395_066_363_000
ID = "/docker/" + "a1" * 32
NEXT_ID = "/docker/" + "b2" * 32


def labelled(text: str, service: str, number: int, *, project: str = "loadstone", id_: str = "testcontainer") -> str:
    """The fixture's container as one of a compose project."""
    names = f'container_label_com_docker_compose_project="{project}",container_label_com_docker_compose_service='
    names += f'"{service}",container_label_com_docker_compose_container_number="{number}"'
    return text.replace('container_label_foo_label="bar"', names).replace('id="testcontainer"', f'id="{id_}"')


def exposition(at_ms: int = AT_MS, **values: float) -> str:
    """One container of cAdvisor's, with these values and no others."""
    labels = f'{{id="{ID}",name="x-target-1",container_label_com_docker_compose_project="loadstone",'
    labels += (
        'container_label_com_docker_compose_service="target",container_label_com_docker_compose_container_number="1"}'
    )
    return "".join(f"container_{name}{labels} {value} {at_ms}\n" for name, value in values.items())


def only(text: str) -> Reading:
    (reading,), _ = readings_of(text, "loadstone", now_ns=0)
    return reading


def test_every_value_of_cadvisors_own_expected_output_is_read():
    lines = [line for line in FIXTURE.read_text().splitlines() if not line.startswith("#")]
    found = list(parse_exposition(FIXTURE.read_text()))
    assert len(found) == len(lines) == 15
    specs = {measured.name for measured in found if measured.at_ms is None}  # these have no time of their own
    assert specs == {"container_spec_cpu_period", "container_spec_cpu_quota", "container_start_time_seconds"}
    assert {measured.at_ms for measured in found} == {AT_MS, None}
    assert {measured.labels["id"] for measured in found} == {"testcontainer"}


def test_the_fixtures_container_is_one_reading_with_its_cpus_and_interfaces_added_up():
    reading = only(labelled(FIXTURE.read_text(), "target", 2))
    assert reading.cpu_s == pytest.approx(14e-9)
    assert (reading.service, reading.container, reading.at_ns) == ("target", "target-2", AT_MS * 1_000_000)
    assert (reading.periods, reading.throttled) == (723, 18)
    assert reading.mem_bytes == 9


def test_what_the_real_cadvisor_gives_in_the_stack_is_read():
    readings, nameless = readings_of((FIXTURE.parent / "stack.txt").read_text(), "loadstone-test", now_ns=0)
    target, redis = sorted(readings, key=lambda reading: reading.service, reverse=True)
    assert (target.container, target.cpu_limit, target.mem_limit) == ("target-1", 1.0, 512 << 20)
    assert (redis.container, redis.cpu_limit, redis.mem_limit) == ("redis-1", None, 1 << 30)
    assert (target.cpu_s, target.periods, target.throttled) == (7.137158759, 3327, 0)
    assert (target.rx_bytes, target.started_s) == (2_251_291 + 7_014_153, 1_795_758_817)
    assert nameless == 0


def test_of_a_real_cadvisor_that_cannot_reach_the_engine_no_container_is_left():
    assert readings_of((FIXTURE.parent / "hidden.txt").read_text(), "loadstone-test", now_ns=0) == ([], 0)


def test_several_replicas_are_told_apart_and_other_projects_are_left_out():
    fixture = FIXTURE.read_text()
    text = "".join(
        labelled(fixture, service, number, project=project, id_=f"/docker/{service}{number}")
        for service, number, project in (("target", 1, "p"), ("target", 2, "p"), ("redis", 1, "p"), ("db", 1, "other"))
    )
    readings, _ = readings_of(text, "p", now_ns=0)
    assert [reading.container for reading in readings] == ["target-1", "target-2", "redis-1"]


def test_counters_become_rates_over_the_samples_own_times():
    rates = CounterRates()
    common = {"spec_cpu_quota": 50_000, "spec_cpu_period": 100_000, "spec_memory_limit_bytes": 1000}
    first = {"cpu_usage_seconds_total": 10, "cpu_cfs_periods_total": 100, "cpu_cfs_throttled_periods_total": 10}
    later = {"cpu_usage_seconds_total": 10.5, "cpu_cfs_periods_total": 120, "cpu_cfs_throttled_periods_total": 15}
    network = {"network_receive_bytes_total": 100, "network_transmit_bytes_total": 50, "oom_events_total": 1}
    more = {"network_receive_bytes_total": 300, "network_transmit_bytes_total": 150, "oom_events_total": 3}
    assert rates.take([only(exposition(**common, **first, **network))]) == ()
    ((usage, at_ns),) = rates.take(
        [only(exposition(AT_MS + 2000, **common, **later, **more, memory_working_set_bytes=400))]
    )
    assert (usage.cpu_cores, usage.cpu_limit, usage.throttled_pct) == (0.25, 0.5, 25.0)
    assert (usage.mem_bytes, usage.mem_limit, usage.oom) == (400, 1000, 2)
    assert (usage.rx_bps, usage.tx_bps) == (100, 50)
    assert at_ns == (AT_MS + 2000) * 1_000_000


def test_no_limit_is_none_and_not_zero():
    reading = only(exposition(cpu_usage_seconds_total=1, spec_memory_limit_bytes=0, spec_cpu_period=100_000))
    assert (reading.cpu_limit, reading.mem_limit) == (None, None)


def test_scraping_an_unchanged_sample_again_gives_nothing():
    rates, reading = CounterRates(), only(exposition(cpu_usage_seconds_total=1))
    assert [rates.take([reading]) for _ in range(3)] == [(), (), ()]


def test_a_restarted_container_whose_counters_fell_to_zero_counts_from_there():
    rates = CounterRates()
    rates.take([only(exposition(cpu_usage_seconds_total=1000, oom_events_total=5, network_receive_bytes_total=9999))])
    again = exposition(AT_MS + 1000, cpu_usage_seconds_total=0.5, oom_events_total=0, network_receive_bytes_total=10)
    ((usage, _),) = rates.take([only(again)])
    assert (usage.cpu_cores, usage.oom, usage.rx_bps) == (0.5, 0, 10)


def test_a_restart_is_seen_though_the_new_counters_are_above_the_old_ones():
    rates = CounterRates()
    rates.take([only(exposition(cpu_usage_seconds_total=1, oom_events_total=1, start_time_seconds=100))])
    again = exposition(AT_MS + 1000, cpu_usage_seconds_total=1.5, oom_events_total=1, start_time_seconds=101)
    ((usage, _),) = rates.take([only(again)])
    assert (usage.cpu_cores, usage.oom) == (1.5, 1)


def test_a_container_made_anew_has_a_baseline_of_its_own_and_its_kills_since_then_count():
    rates = CounterRates()
    rates.take([only(exposition(cpu_usage_seconds_total=1000, oom_events_total=7))])
    anew = [
        only(exposition(AT_MS + at * 1000, cpu_usage_seconds_total=at, oom_events_total=2).replace(ID, NEXT_ID))
        for at in (1, 2)
    ]
    assert rates.take([anew[0]]) == ()
    ((usage, _),) = rates.take([anew[1]])
    assert (usage.cpu_cores, usage.oom) == (1, 2)


def test_a_container_that_is_missing_from_a_reading_keeps_its_counters_and_limits():
    rates = CounterRates()
    limits = {"spec_cpu_quota": 50_000, "spec_cpu_period": 100_000, "spec_memory_limit_bytes": 1000}
    rates.take([only(exposition(cpu_usage_seconds_total=1, oom_events_total=1, **limits))])
    assert rates.take([]) == ()
    without_limits = exposition(AT_MS + 2000, cpu_usage_seconds_total=3, oom_events_total=4)
    ((usage, _),) = rates.take([only(without_limits)])
    assert (usage.cpu_cores, usage.oom) == (1, 3)
    assert (usage.cpu_limit, usage.mem_limit) == (0.5, 1000)


def test_a_limit_that_was_taken_away_is_gone_and_not_the_last_one():
    rates = CounterRates()
    before = {"spec_cpu_quota": 50_000, "spec_cpu_period": 100_000, "spec_memory_limit_bytes": 1000}
    after = {"spec_cpu_period": 100_000, "spec_memory_limit_bytes": 0}
    rates.take([only(exposition(cpu_usage_seconds_total=1, **before))])
    ((usage, _),) = rates.take([only(exposition(AT_MS + 1000, cpu_usage_seconds_total=1, **after))])
    assert (usage.cpu_limit, usage.mem_limit) == (None, None)


def test_a_container_that_is_away_for_long_is_forgotten():
    rates = CounterRates()
    rates.take([only(exposition(cpu_usage_seconds_total=1))])
    other = [only(exposition(AT_MS + at, cpu_usage_seconds_total=1).replace(ID, NEXT_ID)) for at in (1000, 70_000)]
    for reading in other:
        rates.take([reading])
    assert rates.take([only(exposition(AT_MS + 71_000, cpu_usage_seconds_total=9))]) == ()


@pytest.mark.parametrize("text", ["<html>no</html>", "container_cpu_usage_seconds_total{id=} 1", "container_x nothing"])
def test_what_is_no_exposition_is_said(text: str):
    text = text if text.startswith("container_") else f"container_{text}"
    with pytest.raises(SourceError, match="no line of Prometheus"):
        list(parse_exposition(text, "container_"))


def test_labels_with_quotes_commas_and_braces_are_read_whole():
    (measured,) = parse_exposition(r'container_x{a="say \"hi\", {you}\\",b="two\nlines"} 1.5e3')
    assert measured.labels == {"a": 'say "hi", {you}\\', "b": "two\nlines"}
    assert (measured.value, measured.at_ms) == (1500, None)


@contextmanager
def answering(answer: Callable[[str], str | None], socket: Path | None = None) -> Iterator[str]:
    """A server that answers paths, on a port or a socket: a double of cAdvisor, HAProxy or the Docker Engine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = answer(self.path)
            self.send_response(200 if text is not None else 500)
            self.end_headers()
            self.wfile.write(("broken" if text is None else text).encode())

        def log_message(self, *_: Any) -> None: ...

        def address_string(self) -> str:
            return "client"

    port = free_port()
    kind = socketserver.ThreadingUnixStreamServer if socket else socketserver.ThreadingTCPServer
    with serving(kind(str(socket) if socket else ("127.0.0.1", port), Handler)):  # type: ignore[arg-type]
        yield f"http://127.0.0.1:{port}"


def test_groups_above_the_containers_are_not_missing_names():
    _, nameless = readings_of(f'container_cpu_usage_seconds_total{{id="/docker"}} 1 {AT_MS}\n', None, now_ns=0)
    assert nameless == 0


STATS: dict[str, Any] = {
    "cpu_stats": {
        "cpu_usage": {"total_usage": 3_000_000_000},
        "throttling_data": {"periods": 100, "throttled_periods": 7},
    },
    "memory_stats": {"usage": 1000, "stats": {"total_inactive_file": 300}, "limit": 5000},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 1}, "eth1": {"rx_bytes": 5, "tx_bytes": 2}},
}
CONTAINER: dict[str, Any] = {
    "Id": "c1",
    "Labels": {"com.docker.compose.service": "target", "com.docker.compose.container-number": "3"},
}


def test_the_engines_statistics_are_a_reading_with_the_limits_that_compose_set():
    reading = reading_of(CONTAINER, STATS, {"NanoCpus": 500_000_000, "Memory": 4000}, now_ns=5)
    assert reading == Reading(
        id="c1",
        service="target",
        container="target-3",
        at_ns=5,
        cpu_s=3,
        mem_bytes=700,
        cpu_limit=0.5,
        mem_limit=4000,
        periods=100,
        throttled=7,
        rx_bytes=15,
        tx_bytes=3,
    )


def test_version_2_of_control_groups_and_quota_with_period_are_read_too():
    stats = {**STATS, "memory_stats": {"usage": 1000, "stats": {"inactive_file": 400}}}
    reading = reading_of(CONTAINER, stats, {"CpuQuota": 150_000, "CpuPeriod": 100_000, "Memory": 0}, now_ns=1)
    assert reading is not None
    assert (reading.mem_bytes, reading.cpu_limit, reading.mem_limit) == (600, 1.5, None)


def test_a_container_that_has_just_ended_is_left_out():
    assert reading_of(CONTAINER, {"cpu_stats": {}, "memory_stats": {}}, {}, now_ns=1) is None


def test_a_reading_has_the_time_at_which_the_engine_took_it():
    stats = {**STATS, "read": "2026-11-27T05:10:33.12345678Z"}
    reading = reading_of(CONTAINER, stats, {}, now_ns=1)
    assert reading is not None
    assert reading.at_ns == 1_795_756_233_123_456_780
    assert reading_of(CONTAINER, {**STATS, "read": "0001-01-01T00:00:00Z"}, {}, now_ns=1).at_ns == 1  # type: ignore[union-attr]


def haproxy_page(queue: int, retries: int, redispatches: int, up: int, requests: int = 0, redirects: int = 0) -> str:
    """HAProxy's statistics as far as they are read; the columns that are not are left out."""
    counts = f"{requests},{redirects}"
    return (
        "# pxname,svname,qcur,wretr,wredis,act,req_tot,hrsp_3xx,\n"
        f"predictions,FRONTEND,,,,,{counts},\n"
        f"replicas,replica-1,0,{retries},{redispatches},1,{counts},\n"
        f"replicas,BACKEND,{queue},{retries},{redispatches},{up},{counts},\n"
        "statistics,FRONTEND,,,,,9,9,\nstatistics,BACKEND,9,9,9,9,9,9,\n"
    )


def test_the_balancers_totals_become_increases_and_survive_its_restart():
    pages = iter([haproxy_page(0, 5, 1, 3), haproxy_page(2, 9, 1, 2), haproxy_page(0, 1, 0, 3)])
    with answering(lambda _: next(pages)) as url:
        balancer = Balancer(url)
        assert balancer.read() == ()
        (first,) = balancer.read()
        (second,) = balancer.read()
    assert (first.service, first.queue, first.retries, first.redispatches, first.up) == ("target", 2, 4, 0, 2)
    assert (second.retries, second.redispatches, second.up) == (1, 0, 3)


def test_requests_are_counted_without_those_that_a_redirect_led_to():
    pages = iter([haproxy_page(0, 0, 0, 1, 100, 40), haproxy_page(0, 0, 0, 1, 170, 60), haproxy_page(0, 0, 0, 1, 8, 1)])
    with answering(lambda _: next(pages)) as url:
        balancer = Balancer(url)
        assert balancer.read() == ()
        assert [balance.requests for _ in range(2) for balance in balancer.read()] == [50, 7]


def test_a_balancer_that_counts_no_requests_says_nothing_of_them():
    with answering(lambda _: "# pxname,svname,qcur,wretr,wredis,act,\nreplicas,BACKEND,0,0,0,1,\n") as url:
        balancer = Balancer(url)
        balancer.read()
        assert [balance.requests for balance in balancer.read()] == [None]


def test_of_two_balancers_behind_one_name_both_are_read():
    one = iter([haproxy_page(1, 10, 0, 2, 100), haproxy_page(2, 11, 0, 2, 110), haproxy_page(2, 11, 0, 2, 110)])
    other = iter([haproxy_page(4, 0, 3, 2, 7), haproxy_page(5, 2, 3, 1, 10)])
    with answering(lambda _: next(one)) as first, answering(lambda _: next(other)) as second:
        found = [first, second]
        balancer = Balancer("http://balancer", addresses=lambda _: tuple(found))
        assert balancer.read() == ()
        (both,) = balancer.read()
        found.remove(second)
        (left,) = balancer.read()
    assert both == Balance(service="target", queue=7, retries=3, redispatches=0, up=2, requests=13)
    assert left == Balance(service="target", queue=2, retries=0, redispatches=0, up=2, requests=0)


def test_one_of_two_balancers_that_does_not_answer_takes_nothing_from_the_other():
    with answering(lambda _: haproxy_page(1, 0, 0, 2)) as url:
        balancer = Balancer("http://balancer", addresses=lambda _: ("http://127.0.0.1:1", url))
        balancer.read()
        assert [balance.queue for balance in balancer.read()] == [1]
    with pytest.raises(SourceError, match="does not answer"):
        balancer.read()


def test_a_name_is_all_its_addresses():
    assert addresses_of("http://127.0.0.1:8404") == ("http://127.0.0.1:8404",)
    assert "http://127.0.0.1:8404" in addresses_of("http://localhost:8404")
    with pytest.raises(SourceError, match=r"no-such-name\.invalid"):
        addresses_of("http://no-such-name.invalid:8404")


def test_what_is_no_statistics_page_is_said():
    with answering(lambda _: "<html>") as url, pytest.raises(SourceError, match="not HAProxy's"):
        Balancer(url).read()
