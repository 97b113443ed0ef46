"""A process that is killed while it closes a run again: the run is what it was, or it is not closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.reader import segment_paths
from loadstone.domain.time import iso
from loadstone.errors import UnreadableRunError
from support.harmed_journal import REQUESTS, RUN, add_late_entries, close_runs, cut_the_last_segment, damaged
from support.varied_run import at

DYING = """
import itertools, os, sys
from pathlib import Path
from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder

rename = os.replace
for step, name in enumerate(sys.argv[1:]):  # nothing was computed yet, so no thread is lost by forking
    if os.fork() == 0:
        steps = itertools.count()
        os.replace = lambda *names: os._exit(9) if next(steps) == step else rename(*names)
        recover_run(RunFolder(Path(name)))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
"""Closes each run in a process of its own, which ends, without cleaning up, before the step-th file gets its name."""
STEPS = 10


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Copies of a closed run with late entries; closing it again was killed at each step."""
    made = tmp_path_factory.mktemp("made")
    close_runs(made)
    copies = [tmp_path_factory.mktemp(f"step{step}") / "results" for step in range(STEPS)]
    runs = [RunFolder(shutil.copytree(made, copy) / RUN) for copy in copies]
    for run in runs:
        add_late_entries(run)
    names = [str(run.path) for run in runs]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", DYING, *names], env=environment, capture_output=True, check=True)
    assert done.stdout.split() == [b"9"] * STEPS
    return runs


@pytest.mark.attack("the process is killed while the files of a closed run are replaced", "closed, or not: no mixture")
@pytest.mark.parametrize("step", range(STEPS), ids="before file {}".format)
def test_a_crash_at_any_step_leaves_the_old_archive_or_a_run_that_is_not_closed(killed: list[RunFolder], step: int):
    run = killed[step]
    if step:
        with pytest.raises(UnreadableRunError, match="is not closed"):
            ClosedRun.open(run)
    else:
        assert ClosedRun.open(run).record.requests == REQUESTS
        assert not damaged(run)
    whole = {path: path.read_bytes() for path in segment_paths(run.journal)}
    cut_the_last_segment(run)
    with pytest.raises(UnreadableRunError, match="of 1,260 requests"):
        recover_run(run)
    for path, content in whole.items():
        path.write_bytes(content)
    assert recover_run(run).record.requests == REQUESTS + 30
    assert recover_run(run).record.closed_at == iso(at(1000)), "the time of the first closing"
    assert not damaged(run)
    assert not [path.name for path in run.path.iterdir() if path.name.startswith(".")]
