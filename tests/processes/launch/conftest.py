"""What the tests of starting processes share: a target that answers as the demo's does, and a machine without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.launch_doubles import FakeMachine
from support.serving import serving
from support.target_double import TargetDouble

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def target() -> Iterator[TargetDouble]:
    with serving(TargetDouble()) as server:
        yield server


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()
