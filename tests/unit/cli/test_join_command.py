"""The command for workers elsewhere is shown where they can reach this machine, and nowhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loadstone.cli.run import _note_join_command
from support.launch_doubles import RecordingView


@pytest.mark.parametrize(
    ("bind", "shown"),
    [("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("192.0.2.10", 1), ("0.0.0.0", 1)],
)
def test_a_master_on_loopback_shows_no_command_for_workers_elsewhere(bind: str, shown: int):
    stack: Any = SimpleNamespace(
        remote_redis_url="redis://192.0.2.1/0", settings=SimpleNamespace(bind=bind), join_command=lambda: "join"
    )
    view = RecordingView()
    _note_join_command(stack, view)
    assert view.notes == ["join"] * shown
