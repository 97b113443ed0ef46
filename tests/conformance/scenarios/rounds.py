"""How often users of these files do their tasks: a fixed number of times, so that two runs can be compared exactly."""

import os
from collections.abc import Callable
from typing import Any

ROUNDS = int(os.getenv("ROUNDS", "4"))


def few(rounds: int = ROUNDS, pause_s: float = 0.02) -> Callable[[Any], float]:
    """A ``wait_time``: a short pause after each of the first tasks of a user, and then a wait until the test ends."""

    def wait_time(user: Any) -> float:
        user.rounds_done = getattr(user, "rounds_done", 0) + 1
        return pause_s if user.rounds_done < rounds else 3600

    return wait_time
