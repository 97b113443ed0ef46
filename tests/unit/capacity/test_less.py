"""What the answer says of limits that are smaller than its own: tried, not tried, and not allowed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.less import sentences_on_less
from loadstone.capacity.study_record import NeighbourRecord, SettingAnswerRecord, SettingQuestion
from loadstone.domain.units import MIB
from loadstone.rig.rig import Setting
from support.studies import BEST, LESS_CPU, LESS_MEMORY, QUOTA, SETTINGS_STUDY, settings_study, trial

FAILS = NeighbourRecord(setting=LESS_CPU, finding="fails")


def question(**changes: Any) -> SettingQuestion:
    assert isinstance(SETTINGS_STUDY.question, SettingQuestion)
    return replace(SETTINGS_STUDY.question, **changes)


def said(setting: Setting, smaller: Any = (), trials: Any = (), **changes: Any) -> list[str]:
    """The sentences on less than a setting, whose trials are given."""
    asked = question(**changes)
    answer = SettingAnswerRecord(setting=setting, smaller=tuple(smaller), proved=True)
    study = settings_study(question=asked, trials=tuple(trials), answer=answer)
    return [*sentences_on_less(study, asked, answer, setting)]


def held(peak_mib: float | None, setting: Setting = BEST) -> Any:
    return trial(1, setting, 300, peak_mem_bytes=None if peak_mib is None else int(peak_mib * MIB))


def test_what_was_tried_is_told_with_its_trial():
    assert said(BEST, [FAILS], [held(100), trial(2, LESS_CPU, 900, bottleneck=QUOTA)]) == [
        f"With 0.5 CPU each they do not hold: {QUOTA.evidence}."
    ]


@pytest.mark.parametrize(
    ("peak_mib", "words"),
    [
        pytest.param(301, ["With 256m each they were not tried, as a replica held up to 301m."], id="more-is-used"),
        pytest.param(
            250,
            ["With 256m each they were not tried, as a replica held up to 250m, and 6 % on top are kept free."],
            id="no-room-to-spare",
        ),
        pytest.param(200, [], id="it-would-fit"),
        pytest.param(None, [], id="nobody-measured"),
    ],
)
def test_less_memory_is_not_tried_where_more_was_used(peak_mib: float | None, words: list[str]):
    assert said(BEST, trials=[held(peak_mib)]) == words


def test_invalid_trials_do_not_say_what_is_used():
    invalid = replace(held(301), outcome="invalid", margin=None)
    assert said(BEST, trials=[held(100), invalid]) == []


def test_memory_that_was_tried_before_is_not_said_to_be_untried():
    assert said(BEST, trials=[held(301), trial(2, LESS_MEMORY, None, reasons=("it was killed",))]) == [
        "With 256m each they do not hold: it was killed."
    ]
    assert said(BEST, trials=[held(301), trial(2, LESS_MEMORY, 900)]) == []


def test_less_memory_that_held_with_room_to_spare_is_not_said_to_lack_it():
    near = NeighbourRecord(setting=LESS_MEMORY, finding="holds")
    assert said(BEST, [near], [held(100, LESS_MEMORY)]) == ["With 256m each they held too."]
    assert said(BEST, [near], [held(250, LESS_MEMORY)]) == [
        "With 256m each they held too, but without memory to spare."
    ]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (Setting(0.25, 256 * MIB, 1), ["Nothing smaller was allowed."]),
        (Setting(0.25, 256 * MIB, 2), ["Less than 0.25 CPU or 256m each was not allowed."]),
        (Setting(0.25, 512 * MIB, 1), ["Less than 0.25 CPU was not allowed."]),
        (Setting(0.5, 256 * MIB, 2), ["Less than 256m each was not allowed."]),
        (Setting(0.5, 512 * MIB, 1), []),
    ],
)
def test_the_lowest_step_is_said_to_be_the_lowest(setting: Setting, words: list[str]):
    assert said(setting) == words
