"""Fixtures for tests in a real browser: Chromium, axe-core, and an end to whatever a failed test left running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.chromium import Browser
from support.loadstone_run import SCENARIOS, LoadstoneRun
from support.require import require
from support.servers import CACHE, server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    browser = Browser(server_binary("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    path = CACHE.parent / "axe" / "package" / "axe.min.js"
    return require(path, "axe-core is not here: `make servers` fetches it").read_text()


@pytest.fixture
def new_run(tmp_path: Path) -> Iterator[Callable[..., LoadstoneRun]]:
    """Makes a ``loadstone run`` of a scenario; nothing of it outlives the test."""
    made: list[LoadstoneRun] = []

    def make(scenario: str, *arguments: str, verb: str = "run") -> LoadstoneRun:
        given = ("-f", str(SCENARIOS / f"{scenario}.py"), "--plain", *arguments)
        made.append(LoadstoneRun(tmp_path / f"run-{len(made)}", given, verb))
        return made[-1]

    yield make
    for run in made:
        run.kill_leftovers()
