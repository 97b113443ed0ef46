"""The error tree. An error says what went wrong, what is allowed and what to do, and has an exit code.

LoadstoneError              (4) any failure of the platform itself
|- UsageError               (2) wrong use: nothing was started, nothing was overwritten
|  `- SettingsError         (2) all invalid settings together
|- NoRunError               (3) the scenario ended before any user was started: nothing was measured
|- PlatformError            (4) a process or service of the platform did not start or did not stay up
|- ArchiveError             (4) a run folder cannot be read or written
|  |- UnreadableRunError    (2) a run that was named is damaged, incomplete, or of a version that is not known here
|  `- StorageError          (4) its disk takes nothing: full, out of inodes or quota, read-only, deleted, no permission
|- StreamError              (4) Redis or Valkey cannot be reached, or refused a command
|- OutputError              (4) standard output cannot be written; 141 if its reader left, which is said to nobody
`- FormatError              (4) data that is damaged or of an unknown version
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ArchiveError",
    "ExitCode",
    "FormatError",
    "InterruptedBySignal",
    "LoadstoneError",
    "NoRunError",
    "OutputError",
    "PlatformError",
    "SettingsError",
    "StorageError",
    "StreamError",
    "UnreadableRunError",
    "UsageError",
]


class ExitCode(IntEnum):
    """The exit codes of ``loadstone``."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    PLATFORM = 4
    INTERRUPTED = 130
    READER_LEFT = 141

    @classmethod
    def gravest(cls, codes: Iterable[int]) -> int:
        """The one that stands for several: fail, which nobody says again, comes before what can be tried again."""
        return min(codes, key=_BY_GRAVITY.index, default=cls.PASS)


_BY_GRAVITY: Final = (
    *(ExitCode.FAIL, ExitCode.PLATFORM, ExitCode.USAGE, ExitCode.INTERRUPTED),
    *(ExitCode.INCONCLUSIVE, ExitCode.READER_LEFT, ExitCode.PASS),
)


class InterruptedBySignal(KeyboardInterrupt):
    """A signal asks the process to end.

    Python marks a plain KeyboardInterrupt that leaves a text it executes (``exec``, as for named tuples), and kills
    ``python -m`` with SIGINT for it in the end, even if it was caught (``Py_RunMain`` in CPython's Modules/main.c).
    """


class LoadstoneError(Exception):
    """The root of all errors that loadstone raises itself.

    ``message`` is one sentence with the offending value and what is allowed; ``hint`` says what to do.
    """

    exit_code: ExitCode = ExitCode.PLATFORM

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        message = self.message.rstrip(".")
        return f"{message}{'' if message.endswith(('?', '!')) else '.'} {self.hint}"


class UsageError(LoadstoneError):
    """Wrong use. It is raised before anything is started or overwritten."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """One or more settings are invalid; ``problems`` lists all of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class NoRunError(LoadstoneError):
    """The scenario ended before any user was started, so nothing was measured."""

    exit_code = ExitCode.INCONCLUSIVE


class PlatformError(LoadstoneError):
    """A process or service of the platform did not start, or did not stay up."""


class ArchiveError(LoadstoneError):
    """A run folder cannot be read or written."""


class UnreadableRunError(ArchiveError):
    """A run that was named cannot be read as it is: nothing was overwritten, and the hint says what helps."""

    exit_code = ExitCode.USAGE


class StorageError(ArchiveError):
    """A disk does not take what is written; the next try may succeed.

    ``everywhere``: nothing else in the folder of results can be written either.
    """

    def __init__(self, message: str, *, hint: str = "", everywhere: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.everywhere = everywhere


class StreamError(LoadstoneError):
    """Redis or Valkey cannot be reached, or refused a command."""


class OutputError(LoadstoneError):
    """Standard output cannot be written; ``cause`` is what the system said."""

    def __init__(self, cause: OSError | ValueError) -> None:
        super().__init__(f"standard output cannot be written: {getattr(cause, 'strerror', None) or cause}")
        self.reader_left = isinstance(cause, BrokenPipeError)
        if self.reader_left:  # as of any program that SIGPIPE ends
            self.exit_code = ExitCode.READER_LEFT


class FormatError(LoadstoneError):
    """A batch, an event or a journal entry that is damaged or of an unknown version."""
