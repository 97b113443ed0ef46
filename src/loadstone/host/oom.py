"""How many processes of this machine were killed for lack of memory.

``oom_kill`` in ``/proc/vmstat`` (Linux 4.13 or newer) counts those killed by the limit of any control group and those
killed because the machine itself had no memory left. In a container it tells about the whole machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["machine_oom_kills"]

_FILE: Final = Path("/proc/vmstat")
_NAME: Final = "oom_kill "


def machine_oom_kills() -> int | None:
    """Kills since the machine started; None where the system does not count them."""
    try:
        lines = _FILE.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.removeprefix(_NAME)) for line in lines if line.startswith(_NAME)), None)
