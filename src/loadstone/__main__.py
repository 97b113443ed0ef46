"""``loadstone`` and ``python -m loadstone``."""

from __future__ import annotations

import sys

__all__ = ["run"]

_INTERRUPTED = 130


def run() -> int:
    """Run one verb; Ctrl-C during the imports, which take a moment, ends it as quietly as later."""
    try:
        from loadstone.cli.main import main  # noqa: PLC0415
    except KeyboardInterrupt:
        return _INTERRUPTED
    return main()


if __name__ == "__main__":
    sys.exit(run())
