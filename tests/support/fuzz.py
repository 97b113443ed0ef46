"""``make fuzz``: every target in turn with new inputs until the time is over; what is found is kept in the corpus.

Hypothesis makes the inputs and shrinks those that show a defect; it remembers them in its database (.hypothesis), so
they come first in the next run.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from support.fuzz_targets import TARGETS

if TYPE_CHECKING:
    from support.fuzz_targets import FuzzTarget

__all__ = ["CORPUS", "corpus_of", "fuzz"]

CORPUS: Final = Path(__file__).resolve().parents[1] / "fixtures" / "corpus"
_DATABASE: Final = Path(".hypothesis") / "fuzz"
_EXAMPLES: Final = {True: 100, False: 1000}
"""In one turn of a target, by whether it is slow."""


class _Counted:
    """A target that counts what it was given, and keeps the newest input that showed a defect: the smallest one."""

    def __init__(self, target: FuzzTarget, ends_s: float) -> None:
        self.target = target
        self.count = 0
        self.found: bytes | None = None
        self._ends_s = ends_s

    def __call__(self, data: bytes) -> None:
        if time.monotonic() >= self._ends_s and self.found is None:
            return
        self.count += 1
        try:
            self.target.check(data)
        except Exception:
            self.found = data
            raise


def fuzz(minutes: float, number: int) -> dict[str, tuple[int, int]]:
    """Fuzz for so long, with seeds from ``number`` on; how many inputs each target got, and how many defects it has."""
    ends_s = time.monotonic() + 60 * minutes
    counts = {target.name: (0, 0) for target in TARGETS}
    while time.monotonic() < ends_s:
        for target in TARGETS:
            inputs, defects = counts[target.name]
            if not defects:  # it would find the same again
                counted = _Counted(target, ends_s)
                defects = _turn(counted, number)
                counts[target.name] = (inputs + counted.count, defects)
        number += 1
    return counts


def _turn(counted: _Counted, number: int) -> int:
    """One turn of a target; 1 if it showed a defect, which is printed."""
    target = counted.target
    options = settings(
        max_examples=_EXAMPLES[target.slow],
        deadline=None,
        database=DirectoryBasedExampleDatabase(_DATABASE),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )

    def check(data: bytes) -> None:
        counted(data)

    check.__qualname__ = check.__name__ = re.sub(r"\W", "_", target.name)
    try:
        seed(number)(options(given(target.inputs)(check)))()
    except Exception:
        if counted.found is None:  # it is no input that is to blame
            raise
        kept = _keep(target.name, counted.found)
        print(f"{target.name}: a defect, its input is in {kept}\n{traceback.format_exc(limit=-6)}", flush=True)
        return 1
    return 0


def corpus_of(name: str) -> Path:
    """The folder of the kept inputs of a target."""
    return CORPUS / name.replace(" ", "-")


def _keep(name: str, data: bytes) -> Path:
    folder = corpus_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    asked = float(os.environ.get("MINUTES") or 30)
    totals = fuzz(asked, time.time_ns() % 2**32)
    for each, (inputs, defects) in totals.items():
        print(f"{each:28} {inputs:9,d} inputs  {defects} defects")
    print(f"{sum(inputs for inputs, _ in totals.values()):,} inputs in {asked:g} min")
    sys.exit(any(defects for _, defects in totals.values()))
