"""The answer of a study in one sentence, how sure it is, and its exit code."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.answer import answer_text, bottleneck_at, confidence_text, exit_code, margin_text
from loadstone.capacity.study_record import NeighbourRecord, SettingAnswerRecord, UsersAnswerRecord
from support.studies import BEST, LESS_CPU, LESS_MEMORY, QUOTA, SETTINGS_STUDY, TOP, USERS_STUDY, settings_study, trial


def answered(**changes: Any) -> Any:
    return settings_study(answer=replace(SETTINGS_STUDY.answer, **changes))


def test_an_answer_says_what_holds_what_it_costs_and_why_less_does_not():
    assert answer_text(SETTINGS_STUDY) == (
        "2 replicas of 0.75 CPU and 512m hold 150 users with p95<500ms and failures<=1% (3 of 3 trials), for 0.07 an"
        " hour; with 0.5 CPU each they do not: the CPU quota of 0.5 CPU throttled it in 83 % of the periods;"
        " with 256m each they do not: the kernel killed processes once."
    )
    assert exit_code(SETTINGS_STUDY) == 0


def test_of_one_replica_the_sentence_is_in_the_singular():
    one, less = replace_setting(BEST), replace_setting(LESS_CPU)
    study = settings_study(
        trials=(trial(1, one, 300), trial(2, less, 900)),
        answer=SettingAnswerRecord(
            setting=one, trials=1, smaller=(NeighbourRecord(setting=less, finding="fails"),), proved=True
        ),
    )
    assert answer_text(study) == (
        "1 replica of 0.75 CPU and 512m holds 150 users with p95<500ms and failures<=1% (1 of 1 trials);"
        " with 0.5 CPU it does not: p95 is 900 ms, must be < 500 ms."
    )


def replace_setting(setting: Any) -> Any:
    return type(setting)(setting.cpu_cores, setting.mem_bytes, 1)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ("undecided", "; with 256m each the trials were too near the limit to tell."),
        ("holds", "; with 256m each they held too, without memory to spare."),
    ],
)
def test_a_neighbour_that_was_not_shown_to_fail_is_not_said_to(finding: Any, words: str):
    study = answered(smaller=(NeighbourRecord(setting=LESS_MEMORY, finding=finding),))
    assert answer_text(study).endswith(words)


def test_when_the_time_was_up_it_is_said_that_less_may_hold():
    study = answered(proved=False, smaller=(), open="0.5 CPU could not be measured: there was no time left")
    assert answer_text(study).endswith(
        "an hour. Whether less holds them too is open: 0.5 CPU could not be measured: there was no time left."
    )
    assert exit_code(study) == 3


def test_when_not_even_the_largest_holds_its_bottleneck_is_told():
    study = settings_study(
        trials=(trial(1, TOP, 900, bottleneck=QUOTA),), answer=SettingAnswerRecord(setting=None, proved=True)
    )
    assert answer_text(study) == (
        "No setting in range holds 150 users with p95<500ms and failures<=1%: not even 2 replicas of 1 CPU and 768m"
        " do: the CPU quota of 0.5 CPU throttled it in 83 % of the periods."
    )
    assert exit_code(study) == 1


def test_when_nothing_was_proved_it_is_said_why():
    study = settings_study(answer=SettingAnswerRecord(setting=None, proved=False, open="there was no time"))
    assert answer_text(study) == (
        "No setting was proved to hold 150 users with p95<500ms and failures<=1%: there was no time."
    )
    assert exit_code(study) == 3


def test_without_an_answer_the_study_can_go_on():
    study = settings_study(answer=None)
    assert "loadstone capacity --resume 20261127-120000-aaaa" in answer_text(study)
    assert (exit_code(study), confidence_text(study)) == (3, "")


def test_the_confidence_is_how_seldom_chance_would_look_like_that():
    assert confidence_text(SETTINGS_STUDY) == (
        "Over 3 trials the objective nearest to its limit was held with 33 % to spare (95 % interval: 26 to 39 %):"
        " a setting that only just holds would look as good in less than 1 of 1,000 cases."
    )
    assert confidence_text(answered(margin=-0.1, margin_se=0.1)).endswith("in about 159 of 1,000 cases.")
    assert confidence_text(USERS_STUDY) == "1 of 1 valid trials with 140 users held."


def test_a_margin_is_what_there_is_to_spare_or_what_is_missing():
    assert margin_text(-0.6931, 0.02) == "held with 50 % to spare (95 % interval: 48 to 52 %)"
    assert margin_text(-0.1, 0.1) == "held with 10 % to spare (95 % interval: -10 to 26 %)"
    assert margin_text(0.6931, 0.1) == "missed by 100 % (95 % interval: 64 to 143 %)"
    assert margin_text(0.6931, 0.0) == "missed by 100 %"


def test_the_bottleneck_of_several_trials_is_the_usual_one_and_never_an_unknown_one_if_another_is_known():
    unknown = type(QUOTA)(cause="unknown", evidence="?")
    study = settings_study(
        trials=(
            trial(1, LESS_CPU, 9000, bottleneck=replace(QUOTA, evidence="far")),
            trial(2, LESS_CPU, 800, bottleneck=unknown),
            trial(3, LESS_CPU, 900, bottleneck=unknown),
            trial(4, LESS_CPU, 700, bottleneck=replace(QUOTA, evidence="near")),
            trial(5, LESS_CPU, 850, bottleneck=replace(QUOTA, evidence="usual")),
        )
    )
    found = bottleneck_at(study, setting=LESS_CPU)
    assert found is not None
    assert (found.cause, found.evidence) == ("cpu quota", "usual")
    assert bottleneck_at(study, setting=BEST) is None


def test_where_the_bottleneck_is_not_known_the_sentence_says_what_was_missed():
    unknown = replace(QUOTA, cause="unknown", evidence="nobody measured the target")
    trials = (trial(1, BEST, 300), trial(2, LESS_CPU, 900, bottleneck=unknown))
    study = settings_study(trials=trials)
    assert "with 0.5 CPU each they do not: p95 is 900 ms, must be < 500 ms;" in answer_text(study)


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        ({"holds": 140, "not_held": 200, "proved": True}, "; 200 were too many.", 0),
        (
            {"holds": 140, "not_held": 200, "not_held_undecided": True, "proved": True},
            "; 200 are too near the limit to tell.",
            0,
        ),
        ({"holds": 140, "not_held": None, "proved": True}, ", the most that were allowed.", 0),
        ({"holds": None, "not_held": 1, "proved": True}, "No number of users that was tried held", 1),
        (
            {"holds": 140, "not_held": None, "proved": False, "open": "there was no time"},
            "Whether it holds more is open: there was no time.",
            3,
        ),
    ],
)
def test_answers_of_users(answer: dict[str, Any], words: str, code: int):
    study = replace(USERS_STUDY, answer=UsersAnswerRecord(**answer))
    assert words in answer_text(study)
    assert exit_code(study) == code
