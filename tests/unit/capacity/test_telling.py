"""The trial that says why something did not hold: the same one in the sentence, on the page and in the files for CI."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from loadstone.capacity.answer import answer_text
from loadstone.capacity.files import study_junit
from loadstone.capacity.load import Load
from loadstone.capacity.page import page_text
from loadstone.capacity.telling import nearest_objective, telling_trial
from support.studies import BEST, LESS_CPU, QUOTA, SETTINGS_STUDY, SHORT, USERS_STUDY, settings_study, trial

UNKNOWN = replace(QUOTA, cause="unknown", evidence="nobody measured the target")


def cause(number: int, p95_ms: float | None, evidence: str = "", **changes: Any) -> Any:
    """A trial with less CPU, limited by its quota if there is evidence of that."""
    found = replace(QUOTA, evidence=evidence) if evidence else UNKNOWN
    return trial(number, LESS_CPU, p95_ms, **{"bottleneck": found, **changes})


def told(*trials: Any) -> int | None:
    """The number of the trial that tells, from its run."""
    found = telling_trial(settings_study(trials=trials), setting=LESS_CPU)
    return None if found is None else trials.index(found) + 1


@pytest.mark.parametrize(
    ("trials", "telling"),
    [
        pytest.param([cause(1, 900, "a"), cause(2, 600, "b"), cause(3, 700, "c")], 3, id="the middle one"),
        pytest.param([cause(1, 900), cause(2, 600), cause(3, 700)], 3, id="of unknown ones too"),
        pytest.param([cause(1, 600, "a"), cause(2, 700), cause(3, 800)], 1, id="a known cause first"),
        pytest.param(
            [cause(1, 600, bottleneck=SHORT), cause(2, 700, "a"), cause(3, 800, "b")], 3, id="of the usual cause"
        ),
        pytest.param([cause(1, None, bottleneck=SHORT), cause(2, 700, "a"), cause(3, 800, "b")], 1, id="broken first"),
        pytest.param([trial(1, LESS_CPU, 300), cause(2, 700, "a")], 2, id="none that held"),
        pytest.param([trial(1, LESS_CPU, 300), trial(2, BEST, 900)], None, id="none at all"),
    ],
)
def test_the_middle_trial_of_the_usual_cause_tells(trials: list[Any], telling: int | None):
    assert told(*trials) == telling


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_sentence_page_and_junit_quote_the_same_trial(*, known: bool):
    trials = [cause(at, p95, f"{p95} ms" if known else "", users=150) for at, p95 in enumerate((950, 900, 910), 6)]
    study = settings_study(trials=(*SETTINGS_STUDY.trials[:4], *trials))
    words = "910 ms" if known else "p95 is 910 ms, must be < 500 ms"
    others = ["950 ms", "900 ms"]
    assert f"With 0.5 CPU each they do not hold: {words}. " in answer_text(study)
    suite = ET.fromstring(study_junit(study)).find("testsuite")
    assert suite is not None
    evidence = page_text(study).split('id="evidence"', 1)[1].split('id="generator"', 1)[0]
    assert not [each for each in others if each in evidence]
    if known:
        assert words in evidence
    else:
        assert UNKNOWN.evidence in evidence


def test_junit_quotes_it_where_it_is_an_error():
    trials = [cause(at, p95, f"{p95} ms") for at, p95 in enumerate((950, 900, 910), 6)]
    answer = SETTINGS_STUDY.answer
    undecided = replace(answer, smaller=(replace(answer.smaller[0], finding="undecided", trials=1),))  # type: ignore[union-attr]
    text = study_junit(settings_study(trials=(*SETTINGS_STUDY.trials[:4], *trials), answer=undecided))
    assert "undecided after 1 trial: 910 ms" in text


def test_of_users_the_trial_of_these_users_tells():
    assert telling_trial(USERS_STUDY, load=Load(200)) == USERS_STUDY.trials[2]
    assert telling_trial(USERS_STUDY, load=Load(140)) is None


def test_the_nearest_objective_is_that_of_most_trials():
    p99, p95, none = (replace(trial(1, BEST, 300), objective=text) for text in ("p99<1s", "p95<500ms", ""))
    assert nearest_objective([none, p99, p95, none, none, p95]) == "p95<500ms"
    assert nearest_objective([none]) == ""
