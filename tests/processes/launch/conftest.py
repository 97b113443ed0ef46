"""What the tests of starting processes share: a target that answers as the demo's does, and a machine without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.launch_doubles import FakeMachine
from support.serving import serving
from support.target_double import TargetDouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def target() -> Iterator[TargetDouble]:
    with serving(TargetDouble()) as server:
        yield server


@pytest.fixture
def machine(demo_state: Path) -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def demo_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo of a test is kept between its runs: nothing is there yet."""
    folder = tmp_path / "demo-state"
    monkeypatch.setattr("loadstone.launch.demo_files.state_folder", lambda: folder)
    return folder
