"""Finding the programs of real servers: those that `make servers` fetched, or the machine's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.require import require

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "servers" / "bin"


def server_binary(*names: str) -> Path:
    """Return the first program of these names; without any the running test is skipped, or fails where it must not."""
    fetched = [CACHE / name for name in names if (CACHE / name).exists()]
    own = [Path(found) for name in names if (found := shutil.which(name))]
    candidates = [*fetched, *own]
    return require(candidates[0] if candidates else None, f"{names[0]} is not here: `make servers` fetches it")
