"""Entries that no producer sends are refused with a reason, or everything can be done with a run that has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.entry import decode_entry
from loadstone.errors import FormatError
from support.forged import FORGED, forged
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.whole_chain import whole_chain

REASONS = json.loads((Path(__file__).parents[2] / "fixtures" / "forged_entries.json").read_text())
"""For every forged entry what its refusal says, null for one that is taken."""
REFUSED = [name for name in FORGED if REASONS[name] is not None]
TAKEN = [name for name in FORGED if REASONS[name] is None]
GOOD = 30


def good_run() -> tuple[RunMaker, RunMaker]:
    """The entries before and after the forged ones: a run of one worker and 30 requests."""
    worker, run = IncarnationMaker(), RunMaker().started(objectives=["p95<500ms"])
    for second in range(3):
        run.add(worker.batch(samples(GOOD // 3, second, second + 1)))
    rest = RunMaker(events=run.events, requests=run.requests).stopped(3)
    return run, rest.add(worker.batch(at_s=3, final=True))


@pytest.mark.attack("a forged batch, event or usage tick that says what cannot be", "it is refused with its reason")
@pytest.mark.parametrize("name", REFUSED)
def test_a_forged_entry_is_refused(name: str):
    for entry in forged(name):
        with pytest.raises(FormatError, match=re.escape(REASONS[name])):
            decode_entry(entry.kind, entry.blob)


@pytest.mark.attack(
    "a forged batch, event or usage tick in the journal's way",
    "the run is shown, closed, reported, exported, compared and sent to InfluxDB",
)
@pytest.mark.parametrize("name", TAKEN)
def test_a_forged_entry_that_is_taken_is_harmless(name: str, tmp_path: Path):
    before, after = good_run()
    chain = whole_chain(RunFolder(tmp_path / "r"), [*before.entries, *forged(name), *after.entries])
    assert chain.refused == []
    assert all(line and "\n" not in line for line in chain.lines)
    assert chain.record.requests >= GOOD


def test_entries_that_are_refused_leave_a_run_as_it_was(tmp_path: Path):
    before, after = good_run()
    bad = [entry for name in REFUSED for entry in forged(name)]
    chain = whole_chain(RunFolder(tmp_path / "r"), [*before.entries, *bad, *after.entries])
    assert [entry for entry, _ in chain.refused] == bad
    ledger = chain.record.ledgers.archive
    assert (chain.record.requests, ledger.stored, ledger.balances) == (GOOD, GOOD, True)


def test_every_forged_entry_has_an_answer():
    assert list(REASONS) == list(FORGED)
