"""``loadstone`` and ``python -m loadstone``."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from loadstone.errors import InterruptedBySignal

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["run"]

_INTERRUPTED: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLEANS_UP: Final = 2
"""The number of the signal that is ignored, so that it does not break off what the first one lets a verb clean up."""


def run() -> int:
    """Run one verb. A signal interrupts it, even during its imports; once it has ended, a signal changes nothing."""
    interrupts = _Interrupts()
    try:
        interrupts.begin()
        from loadstone.cli.main import main  # noqa: PLC0415  (takes a moment)

        return main()
    except InterruptedBySignal:
        return _INTERRUPTED
    finally:
        interrupts.are_raised = False  # before any call, so that no signal comes between the verb's end and this
        interrupts.end()


class _Interrupts:
    """Lets SIGTERM and SIGHUP interrupt a verb as Ctrl-C does, so that it cleans up; ``nohup`` stays respected."""

    def __init__(self) -> None:
        self.are_raised = True
        self._came = 0

    def begin(self) -> None:
        """Raise `InterruptedBySignal` when a signal comes that nobody ignores."""
        for number in _SIGNALS:
            if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
                signal.signal(number, self._interrupt)

    def end(self) -> None:
        """Ignore further signals: while Python ends, it would let them kill the process, whose exit code is decided."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._came += 1
        if self.are_raised and self._came != _CLEANS_UP:
            raise InterruptedBySignal


if __name__ == "__main__":
    sys.exit(run())
