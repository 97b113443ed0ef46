"""Every decoder and every reader with inputs that Hypothesis makes, and with all that was found before (the corpus)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fuzz import CORPUS, corpus_of
from support.fuzz_targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

    from support.fuzz_targets import FuzzTarget

BY_NAME = {target.name: target for target in TARGETS}
KEPT = [(target, path) for target in TARGETS for path in sorted(corpus_of(target.name).glob("*"))]


@pytest.mark.attack(
    "whatever Hypothesis makes of entries, journals and files of run folders",
    "a decoder refuses it, a reader says what is wrong with it, or everything can be done with it",
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_crashes_a_decoder_or_a_reader(target: FuzzTarget):
    @settings(max_examples=20 if target.slow else 300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data: st.DataObject) -> None:
        target.check(data.draw(target.inputs))

    check()


@pytest.mark.attack(
    "inputs that were found by fuzzing or are interesting for it",
    "a decoder refuses it, a reader says what is wrong with it, or everything can be done with it",
)
@pytest.mark.parametrize(("target", "path"), KEPT, ids=lambda each: getattr(each, "name", None))
def test_what_was_found_once_is_harmless(target: FuzzTarget, path: Path):
    target.check(path.read_bytes())


def test_every_file_of_the_corpus_belongs_to_a_target():
    assert {path.parent for path in CORPUS.rglob("*") if path.is_file()} == {corpus_of(name) for name in BY_NAME}
