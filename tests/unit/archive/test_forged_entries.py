"""Entries that no producer sends are refused with a reason, or everything can be done with a run that has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadstone.archive.folder import RunFolder
from support.forged import FORGED, forged
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.whole_chain import whole_chain

REASONS = json.loads((Path(__file__).parents[2] / "fixtures" / "forged_entries.json").read_text())
"""For every forged entry what its refusal says, null for one that is taken."""
GOOD = 30


def good_run() -> tuple[RunMaker, RunMaker]:
    """The entries before and after the forged ones: a run of one worker and 30 requests."""
    worker, run = IncarnationMaker(), RunMaker().started(objectives=["p95<500ms"])
    for second in range(3):
        run.add(worker.batch(samples(GOOD // 3, second, second + 1)))
    rest = RunMaker(events=run.events, requests=run.requests).stopped(3)
    return run, rest.add(worker.batch(at_s=3, final=True))


@pytest.mark.attack(
    "a forged batch, event or usage tick in the journal's way",
    "it is refused with its reason, or the run is shown, closed, reported, exported, compared and sent to InfluxDB",
)
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_entry_is_refused_or_harmless(name: str, tmp_path: Path):
    before, after = good_run()
    chain = whole_chain(RunFolder(tmp_path / "r"), [*before.entries, *forged(name), *after.entries])
    reason = REASONS[name]
    assert [told for _, told in chain.refused if reason is None or reason not in told] == []
    assert bool(chain.refused) == (reason is not None)
    assert all(line and "\n" not in line for line in chain.lines)
    assert chain.record.requests >= GOOD
    if chain.refused:
        ledger = chain.record.ledgers.archive
        assert (chain.record.requests, ledger.stored, ledger.balances) == (GOOD, GOOD, True)


def test_every_forged_entry_has_an_answer():
    assert list(REASONS) == list(FORGED)
