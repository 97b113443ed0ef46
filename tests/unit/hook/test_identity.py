"""What the master says of a run when it starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loadstone.hook.identity import target_users


@pytest.mark.parametrize(("asked_for", "users"), [(10, 10), (10.0, 10), (10.5, 11)])
def test_users_that_a_load_shape_asks_for_are_whole(asked_for: float, users: int):
    runner: Any = SimpleNamespace(target_user_count=asked_for)
    assert target_users(runner) == users
    assert isinstance(target_users(runner), int)
