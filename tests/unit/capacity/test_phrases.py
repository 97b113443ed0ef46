"""Counts, limits, objectives and margins in words."""

from __future__ import annotations

import pytest

from loadstone.capacity.phrases import aims_text, counted, limits_phrase, margin_text, setting_text
from loadstone.domain.units import MIB
from loadstone.rig.rig import Setting
from support.studies import BEST


def test_one_is_in_the_singular():
    assert (counted(1, "trial"), counted(0, "trial"), counted(1000, "user")) == ("1 trial", "0 trials", "1,000 users")


def test_limits_are_short_in_tables_and_whole_in_sentences():
    one = Setting(0.25, 1536 * MIB, 1)
    assert setting_text(BEST) == "2 replicas of 0.75 CPU and 512m"
    assert limits_phrase(BEST) == "2 replicas with 0.75 CPU and 512m of memory each"
    assert limits_phrase(one) == "1 replica with 0.25 CPU and 1.5g of memory"


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("p95<500ms", "95 % of requests in less than 500 ms"),
        ("p99.9 <= 60s", "99.9 % of requests in at most 60 s"),
        ("p50[POST /predict]<1.5s", "50 % of requests POST /predict in less than 1.5 s"),
        ("mean<80ms", "a mean latency of less than 80 ms"),
        ("max<=2min", "a highest latency of at most 120 s"),
        ("failures<=0.1%", "at most 0.1 % failures"),
        ("failures<10", "less than 10 failures"),
        ("failures<=0%", "no failures"),
        ("failures==0", "no failures"),
        ("rps>=1000", "at least 1000 requests a second"),
        ("count>=100", "at least 100 requests"),
        ("p95>500ms", "p95>500ms"),
        ("service.p95<500ms", "service.p95<500ms"),
        ("failures[GET /]<=1%", "failures[GET /]<=1%"),
        ("cpu(target)<90%", "cpu(target)<90%"),
    ],
)
def test_objectives_are_told_in_words(objective: str, words: str):
    assert aims_text((objective,)) == words


def test_several_objectives_are_listed():
    assert aims_text(("p95<500ms", "failures<=1%")) == "95 % of requests in less than 500 ms, at most 1 % failures"


def test_a_margin_is_what_there_is_to_spare_or_what_is_missing():
    assert margin_text(-0.6931, 0.02) == "held with 50 % to spare (95 % interval: 48 to 52 %)"
    assert margin_text(-0.1, 0.1) == "held with 10 % to spare (95 % interval: -10 to 26 %)"
    assert margin_text(0.6931, 0.1) == "missed by 100 % (95 % interval: 64 to 143 %)"
    assert margin_text(0.6931, 0.0) == "missed by 100 %"
