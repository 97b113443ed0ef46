"""Closed runs with several segments, for tests that damage them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from support.harmed_journal import RUN, close_runs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two closed runs, to be copied."""
    results = tmp_path_factory.mktemp("results")
    close_runs(results)
    return results


@pytest.fixture
def run(two_runs: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(two_runs, tmp_path / "results") / RUN)


@pytest.fixture
def left_open(run: RunFolder) -> RunFolder:
    for path in run.path.iterdir():
        if path.is_file():
            path.unlink()
    return run
