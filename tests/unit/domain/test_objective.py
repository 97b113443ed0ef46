"""Objectives: what may be written, what it means, and how it is displayed."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.objective import Outcome, margin_pct, number_text, parse_objective, parse_objectives
from loadstone.domain.request_name import RequestName
from loadstone.errors import SettingsError, UsageError
from support.fact_maker import facts, rollup_of, service

BY_HAND = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def evaluate(text, **changes):
    return parse_objective(text).evaluate(facts(**changes))


@pytest.mark.parametrize(
    ("text", "metric", "op", "limit", "unit"),
    [
        ("p95<500ms", "p95", "<", 500, "ms"),
        ("P99.9 <= 1.5 s", "p99.9", "<=", 1500, "ms"),
        ("p50>250us", "p50", ">", 0.25, "ms"),
        (" mean < 2min ", "mean", "<", 120_000, "ms"),
        ("max>=.5s", "max", ">=", 500, "ms"),
        ("failures<=0.1%", "failures", "<=", 0.1, "%"),
        ("failures==0", "failures", "==", 0, ""),
        ("exceptions==0", "exceptions", "==", 0, ""),
        ("Exceptions <= 10", "exceptions", "<=", 10, ""),
        ("rps>=1000", "rps", ">=", 1000, "1/s"),
        ("rps>=1000/s", "rps", ">=", 1000, "1/s"),
        ("count>100", "count", ">", 100, ""),
        ("cpu(target)<90%", "cpu", "<", 90, "%"),
        ("cpu( target ) < 1.5 cores", "cpu", "<", 1.5, "cores"),
        ("mem(target)<512MiB", "mem", "<", 512, "MiB"),
    ],
)
def test_a_line_is_understood_with_any_white_space(text, metric, op, limit, unit):
    objective = parse_objective(text)
    assert (objective.metric, objective.operator, objective.limit, objective.unit) == (metric, op, limit, unit)
    assert objective.text == text.strip()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("p95<1s", "p95"),
        ("p95[POST /predict]<300ms", "p95[POST /predict]"),
        ("failures[/items/[id]?a<b]<1%", "failures[/items/[id]?a<b]"),
        ("cpu(target)<90%", "cpu(target)"),
        ("service.p95<1s", "service.p95"),
        (" Service.MEAN [/a] < 1s", "service.mean[/a]"),
    ],
)
def test_the_key_says_what_is_measured_on_what(text, key):
    assert parse_objective(text).key == key


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not METRIC OPERATOR LIMIT"),
        ("p95", "is not METRIC OPERATOR LIMIT"),
        ("p95=500ms", "is not METRIC OPERATOR LIMIT"),
        ("p95<-5ms", "is not METRIC OPERATOR LIMIT"),
        ("p95<nanms", "is not METRIC OPERATOR LIMIT"),
        ("p95<500", "needs a unit: us, ms, s or min"),
        ("p95<500h", "'h' is not a unit of time"),
        ("p0<5ms", "allowed are p0.1 to p100"),
        ("p100.1<5ms", "allowed are p0.1 to p100"),
        ("p95==5ms", "takes <, <=, > or >="),
        ("speed<5", "unknown metric 'speed'; allowed are p50"),
        ("failures<101%", "more than 100%"),
        ("failures<5ms", "plain number or a percentage, not 'ms'"),
        ("exceptions<1%", "exceptions takes a plain number, not '%'"),
        ("exceptions[/a]==0", "counted over all tasks, so it takes no brackets"),
        ("exceptions(target)==0", "counted over all tasks, so it takes no brackets"),
        ("rps>5%", "rps takes a plain number, not '%'"),
        ("cpu<90%", r"cpu needs a service in round brackets, such as cpu\(target\)"),
        ("cpu()<90%", "cpu needs a service"),
        ("cpu(target)<90ms", "percent of its limit"),
        ("mem(target)<90", "bytes with a unit, not ''; allowed units are B, KB"),
        ("p95(target)<5ms", r"square brackets, such as p95\[POST /predict\]"),
        ("p95[]<5ms", "square brackets is empty"),
        ("service.rps<5", "service. goes before latencies only: p50 ... p99.9, mean, min and max"),
        ("service.cpu(target)<5", "service. goes before latencies only"),
        ("service.p0<5ms", "allowed are p0.1 to p100"),
        ("service.p95==5ms", "service.p95 takes <, <=, > or >="),
        ("service.p95<500", "service.p95 is a latency, so its limit needs a unit"),
        ("service.service.p95<5ms", "is not METRIC OPERATOR LIMIT"),
        ("response.p95<5ms", "unknown metric 'response.p95'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_text_and_an_example(text, problem):
    with pytest.raises(UsageError, match=problem) as error:
        parse_objective(text)
    assert repr(text) in error.value.message
    assert "p99[POST /predict]<300ms" in error.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *(("p95<0ms", "can never hold"), ("failures<0", "can never hold"), ("rps<0", "can never hold")),
        *(("p95>5000min", "can never hold"), ("max<80000min", "always holds"), ("p95<0.0000001us", "can never hold")),
        *(("count==0.5", "can never hold"), ("failures==1.5", "can never hold")),
        *(("mean>=0s", "always holds"), ("failures>=0", "always holds"), ("failures >= 0%", "always holds")),
        *(("failures<=100%", "always holds"), ("failures>100%", "can never hold"), ("count[/a]>=0.0", "always holds")),
        *(("exceptions>=0", "always holds"), ("exceptions<0", "can never hold")),
        *(("cpu(target)<0", "can never hold"), ("mem(target)>=0%", "always holds"), ("max>=.0us", "always holds")),
        *((f"rps<{'9' * 400}", "too large"), (f"p95<{'9' * 308}min", "too large")),
        *(("p95<\u0665ms", "is not METRIC OPERATOR LIMIT"), ("p\u0669\u0665<5ms", "is not METRIC OPERATOR LIMIT")),
    ],
)
def test_an_objective_that_judges_nothing_is_refused(text, problem):
    with pytest.raises(UsageError, match=problem):
        parse_objective(text)


@pytest.mark.parametrize("text", ["failures<=0", "failures==0", "failures<100%", "p95<=0ms", "rps>0", "failures>=100%"])
def test_an_objective_at_the_edge_of_what_is_possible_is_taken(text):
    assert parse_objective(text).text == text


def test_the_problems_of_all_lines_are_told_at_once():
    with pytest.raises(SettingsError) as error:
        parse_objectives(["p95<500", "p95<500ms", "speed<5"])
    assert len(error.value.problems) == 2
    assert error.value.exit_code == 2


def test_a_line_given_twice_counts_once():
    assert len(parse_objectives(["p95<5ms", " p95<5ms", "p95<6ms"])) == 2


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=40),
    st.sampled_from(sorted(BY_HAND)),
    st.integers(1, 10**6),
    st.sampled_from(["mean", "min", "max"]),
)
def test_exact_latencies_are_compared_as_by_hand(durations_us, op, limit_us, metric):
    values = {"mean": sum(durations_us) / len(durations_us), "min": min(durations_us), "max": max(durations_us)}
    result = parse_objective(f"{metric}{op}{limit_us}us").evaluate(facts(durations_us))
    assert result.value == pytest.approx(values[metric] / 1000)
    assert result.ok == BY_HAND[op](values[metric] / 1000, limit_us / 1000)


@pytest.mark.parametrize(
    ("text", "value", "ok"),
    [
        ("p95<=95.4ms", 95, True),
        ("p95<94ms", 95, False),
        ("failures<=5%", 4, True),
        ("failures<4", 4, False),
        ("failures==4", 4, True),
        ("rps>=10", 10, True),
        ("rps>10", 10, False),
        ("count==100", 100, True),
        ("cpu(target)<=50%", 50, True),
        ("cpu(target)<1", 1, False),
        ("mem(target)<=25%", 25, True),
        ("mem(target)<0.2KB", 0.25, False),
    ],
)
def test_values_are_measured_in_the_window(text, value, ok):
    result = evaluate(text, failed=4)
    assert result.value == pytest.approx(value, rel=0.004)
    assert result.ok is ok


@pytest.mark.parametrize("figure", ["p50", "p95", "p99.9", "mean", "min", "max"])
def test_under_the_closed_model_service_times_are_the_response_times(figure):
    service, response = evaluate(f"service.{figure}<50ms"), evaluate(f"{figure}<50ms")
    assert (service.value, service.ok) == (response.value, response.ok)
    assert service.reason == f"service.{response.reason}"


def test_a_name_is_selected_with_or_without_its_method():
    names = {
        RequestName("POST", "/predict"): rollup_of([1000] * 4, failed=1),
        RequestName("GET", "/predict"): rollup_of([3000] * 4),
        RequestName("GET", "/"): rollup_of([9000] * 2),
    }
    assert evaluate("mean[POST /predict]<5ms", names=names).value == 1
    assert evaluate("mean[/predict]<5ms", names=names).value == 2
    assert evaluate("failures[POST /predict]<=10%", names=names).value == 25
    assert evaluate("count<100", names=names).value == 10


def test_a_name_that_was_never_requested_is_not_measured_and_the_known_ones_are_told():
    result = evaluate("p95[GET /predict]<5ms")
    assert (result.ok, result.value) == (None, None)
    assert "no request named 'GET /predict'" in result.reason
    assert "POST /predict" in result.reason


def test_nothing_is_measured_without_a_request():
    for text in ("p95<5ms", "failures<1%", "rps>1", "count>=1"):
        assert evaluate(text, names={}).ok is None


def test_usage_that_is_missing_is_not_measured():
    result = evaluate("cpu(database)<90%")
    assert result.ok is None
    assert "services with usage: target" in result.reason


def test_cpu_without_a_limit_is_a_share_of_the_hosts_cores():
    unlimited = {"target": service(cpu_limit=None)}
    assert evaluate("cpu(target)<30%", usage=unlimited, host_cores=4).value == 25
    unknown = evaluate("cpu(target)<30%", usage=unlimited)
    assert unknown.ok is None
    assert "no CPU limit to be a percentage of; it used 1.00 cores" in unknown.reason


def test_memory_without_a_limit_has_no_percentage():
    assert evaluate("mem(target)<30%", usage={"target": service(mem_pct=None)}).ok is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p100<20ms", "p100 is 100 ms, must be < 20 ms"),
        ("p100<1s", "p100 is 100 ms, must be < 1000 ms"),
        ("rps>=1000", "rps is 10/s, must be >= 1000/s"),
        ("failures<=0.1%", "failures are 4 %, must be <= 0.1 %"),
        ("failures<2", "failures are 4, must be < 2"),
        ("cpu(target)<10%", "cpu(target) is 50 %, must be < 10 %"),
    ],
)
def test_the_reason_names_value_and_limit(text, reason):
    assert evaluate(text, failed=4).reason == reason


def test_a_value_just_beyond_its_limit_does_not_look_like_the_limit():
    assert number_text(500.04, 500) == "500.04"
    assert number_text(500, 500) == "500"
    assert number_text(12345.678) == "12346"
    assert number_text(0.12345) == "0.123"
    assert (number_text(0.00041234), number_text(-0.000004), number_text(1e-12)) == ("0.00041", "-0.000004", "0")


def test_an_outcome_has_one_word():
    assert [Outcome.of(ok) for ok in (True, False, None)] == ["held", "missed", "undecided"]


@pytest.mark.parametrize(
    ("operator", "limit", "value", "expected"),
    [
        ("<", 500, 400, 20),
        ("<=", 500, 500, 0),
        ("<", 500, 600, -20),
        (">=", 100, 150, 50),
        (">", 100, 90, -10),
        ("<=", 0, 0, None),
        ("==", 3, 3, None),
        ("<", 500, None, None),
    ],
)
def test_a_margin_is_how_far_a_value_is_on_the_good_side_of_its_limit(operator, limit, value, expected):
    assert margin_pct(operator, limit, value) == (None if expected is None else pytest.approx(expected))
