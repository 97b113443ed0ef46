"""The answer of a study in one sentence, how sure it is, and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.answer import answer_text, confidence_text, exit_code, question_text
from loadstone.capacity.study_record import NeighbourRecord, SettingAnswerRecord, SettingQuestion, UsersAnswerRecord
from loadstone.rig.command import CommandRig
from support.studies import BEST, LESS_CPU, LESS_MEMORY, QUOTA, SETTINGS_STUDY, TOP, USERS_STUDY, settings_study, trial

AIMS = "95 % of requests in less than 500 ms, at most 1 % failures"


def answered(**changes: Any) -> Any:
    return settings_study(answer=replace(SETTINGS_STUDY.answer, **changes))


def test_an_answer_says_what_holds_what_it_costs_and_why_less_does_not():
    assert answer_text(SETTINGS_STUDY) == (
        "2 replicas with 0.75 CPU and 512m of memory each are enough for 150 users (95 % of requests in less than"
        " 500 ms, at most 1 % failures), for a price of 0.07 an hour. They held in 3 of 3 trials, at 148 requests/s."
        " With 0.5 CPU each they do not hold: the CPU quota of 0.5 CPU throttled it in 83 % of the periods. With 256m"
        " each they do not hold: the kernel killed processes once."
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
        "1 replica with 0.75 CPU and 512m of memory is enough for 150 users (95 % of requests in less than 500 ms,"
        " at most 1 % failures). It held in 1 of 1 trial, at 148 requests/s. With 0.5 CPU it does not hold: p95"
        " is 900 ms, must be < 500 ms. With 256m it was not tried, as a replica held up to 301m."
    )


def replace_setting(setting: Any) -> Any:
    return type(setting)(setting.cpu_cores, setting.mem_bytes, 1)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ("undecided", "3 trials, at 148 requests/s. With 256m each the trials were too near the limit to tell."),
        ("holds", "3 trials, at 148 requests/s. With 256m each they held too, but without memory to spare."),
    ],
)
def test_a_neighbour_that_was_not_shown_to_fail_is_not_said_to(finding: Any, words: str):
    study = answered(smaller=(NeighbourRecord(setting=LESS_MEMORY, finding=finding),))
    assert answer_text(study).endswith(words)


def test_when_the_time_was_up_it_is_said_that_less_may_hold():
    study = answered(proved=False, smaller=(), open="0.5 CPU could not be measured: there was no time left")
    assert answer_text(study).endswith(
        "3 trials, at 148 requests/s. With 256m each they do not hold: the kernel killed processes once. Whether"
        " less is enough too is open: 0.5 CPU could not be measured: there was no time left."
    )
    assert exit_code(study) == 3


def test_when_not_even_the_largest_holds_its_bottleneck_is_told():
    study = settings_study(
        trials=(trial(1, TOP, 900, bottleneck=QUOTA),), answer=SettingAnswerRecord(setting=None, proved=True)
    )
    assert answer_text(study) == (
        "No limits in range are enough for 150 users (95 % of requests in less than 500 ms, at most 1 % failures),"
        " not even 2 replicas with 1 CPU and 768m of memory each: the CPU quota of 0.5 CPU throttled it in 83 % of the"
        " periods."
    )
    assert exit_code(study) == 1


def test_when_nothing_was_proved_it_is_said_why():
    study = settings_study(answer=SettingAnswerRecord(setting=None, proved=False, open="there was no time"))
    assert answer_text(study) == (
        "No limits were proved to be enough for 150 users (95 % of requests in less than 500 ms, at most 1 %"
        " failures): there was no time."
    )
    assert exit_code(study) == 3


def test_without_an_answer_the_study_can_go_on():
    study = settings_study(answer=None)
    assert "loadstone capacity --resume 20261127-120000-aaaa" in answer_text(study)
    assert (exit_code(study), confidence_text(study)) == (3, "")


def test_the_confidence_is_how_seldom_chance_would_look_like_that():
    assert confidence_text(SETTINGS_STUDY) == (
        "Over 3 trials the objective nearest to its limit, p95<500ms, was held with 33 % to spare (95 % interval: 26"
        " to 39 %): a setting that only just holds would look as good in less than 1 of 1,000 cases."
    )
    assert confidence_text(answered(margin=-0.1, margin_se=0.1)).endswith("in about 159 of 1,000 cases.")
    assert confidence_text(USERS_STUDY) == "With 140 users it held in 1 of 1 trial, at 148 requests/s."


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        (
            {"holds": 140, "not_held": 200, "proved": True},
            f"The target holds 140 users ({AIMS}). 200 users were too many: {QUOTA.evidence}.",
            0,
        ),
        (
            {"holds": 140, "not_held": 200, "not_held_undecided": True, "proved": True},
            f"The target holds 140 users ({AIMS}). With 200 users the trials were too near the limit to tell.",
            0,
        ),
        (
            {"holds": 140, "not_held": None, "proved": True},
            f"The target holds 140 users ({AIMS}), the most that were allowed.",
            0,
        ),
        (
            {"holds": None, "not_held": 200, "proved": True},
            f"The target does not hold even 200 users ({AIMS}): {QUOTA.evidence}.",
            1,
        ),
        (
            {"holds": 140, "not_held": None, "proved": False, "open": "there was no time"},
            f"The target holds at least 140 users ({AIMS}). Whether it holds more is open: there was no time.",
            3,
        ),
        (
            {"holds": None, "not_held": 1, "proved": False, "open": "no time"},
            f"The target was not proved to hold any number of users ({AIMS}). Whether it holds any is open: no time.",
            3,
        ),
    ],
)
def test_answers_of_users(answer: dict[str, Any], words: str, code: int):
    study = replace(USERS_STUDY, answer=UsersAnswerRecord(**answer))
    assert answer_text(study) == words
    assert exit_code(study) == code


def test_a_study_in_another_folder_is_resumed_there():
    study = settings_study(answer=None)
    assert "--results" not in answer_text(study)
    assert answer_text(study, Path("my results")) == (
        "There is no answer yet: `loadstone capacity --resume 20261127-120000-aaaa --results 'my results'` goes on"
        " with the study."
    )


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (SETTINGS_STUDY, "(service target of a compose project)"),
        (
            replace(SETTINGS_STUDY, rig=CommandRig("./limits.sh").name),
            "(the target of the command './limits.sh')",
        ),
    ],
)
def test_the_question_names_the_target_last(study: Any, words: str):
    asked = "the cheapest limits that hold 150 users with p95<500ms and failures<=1%"
    assert question_text(study) == f"{asked} {words}"


def test_the_question_of_users_names_the_host():
    asked = "the most users that the target holds with p95<500ms and failures<=1%"
    assert question_text(USERS_STUDY) == f"{asked} (http://target)"


def test_the_currency_is_told_of_the_usual_prices_only():
    question = SETTINGS_STUDY.question
    assert isinstance(question, SettingQuestion)
    usual = replace(question, price_cpu=0.04048, price_memory=0.004445)
    assert "for 0.07 USD an hour at the prices of AWS Fargate." in answer_text(settings_study(question=usual))
    own = replace(usual, price_replica=0.05)
    assert "for a price of 0.07 an hour." in answer_text(settings_study(question=own))
