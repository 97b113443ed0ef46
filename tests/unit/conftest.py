"""What every unit test has in common: no test starts a process, uses the network or waits."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# No test judges wall time, not even that of making examples: a busy machine is not a defect.
settings.register_profile("loadstone", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loadstone")

STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"})
NETWORK = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo"})


class NotAUnitTestError(AssertionError):
    """A unit test started a process or used the network; such tests belong into tests/processes."""


_guarded: list[str] = []


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: it cannot be removed, so it does nothing unless a unit test runs."""
    if _guarded and event in STARTS | NETWORK and os.getpid() == _pid:
        what = "starts a process" if event in STARTS else "uses the network"
        raise NotAUnitTestError(f"{_guarded[0]} {what} ({event}): move it to tests/processes")


_pid = os.getpid()
sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def pure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse processes and the network while the test runs."""
    _guarded.append(request.node.nodeid)
    yield
    _guarded.clear()
