"""Identity: what has to be the same in all trials of a study, and what may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.identity import differences, identity_of, identity_of_run
from loadstone.capacity.study_record import StudyRecord
from support.closed_runs import MadeRun
from support.studies import SETTINGS_STUDY

if TYPE_CHECKING:
    from pathlib import Path

REPORTED = {"image": "api:1", "image_id": "sha256:ab", "version": 3, "mode": None, "pods": ["a", "b"], "run_id": "x"}


def test_what_is_known_of_an_image_and_a_model_counts_and_nothing_else():
    assert identity_of(REPORTED) == {"image": "api:1", "image_id": "sha256:ab", "version": "3"}
    assert identity_of({}) == {}


def test_a_run_adds_the_digest_of_its_scenario(tmp_path: Path):
    run = ClosedRun.open(MadeRun(identity={"target": REPORTED}).close(tmp_path))
    assert identity_of_run(run.record) == {**identity_of(REPORTED), "scenario": "sha256:0"}


def test_only_what_is_known_of_both_can_differ():
    assert differences({}, {"mode": "onnx"}) == ""
    assert differences({"mode": "compiled"}, {}) == ""
    assert differences({"mode": "compiled", "version": "3"}, {"version": "3", "mode": "compiled", "image": "a"}) == ""
    other = differences({"mode": "compiled", "version": "3"}, {"version": "4", "mode": "pyfunc"})
    assert other == "mode was compiled and is pyfunc now and version was 3 and is 4 now"


def test_a_study_that_was_begun_before_identities_were_kept_has_none():
    old = msgspec.json.decode(msgspec.json.encode(SETTINGS_STUDY), type=dict[str, object])
    del old["identity"]
    assert msgspec.convert(old, StudyRecord).identity == {}
