"""Whole runs: real Locust, Valkey, Aggregator and target processes, started as a person starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import SCENARIOS, LoadstoneRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def new_run(tmp_path: Path) -> Iterator[Callable[..., LoadstoneRun]]:
    """Prepare ``loadstone run`` with a scenario of this folder; nothing is left of it after the test."""
    made: list[LoadstoneRun] = []

    def prepare(scenario: str | None, *arguments: str, verb: str = "run") -> LoadstoneRun:
        chosen = ("-f", str(SCENARIOS / f"{scenario}.py")) if scenario else ()
        made.append(LoadstoneRun(tmp_path / f"run-{len(made)}", (*chosen, *arguments), verb))
        return made[-1]

    yield prepare
    for run in made:
        run.kill_leftovers()
