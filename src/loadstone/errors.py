"""The error tree: what went wrong, what is allowed, what to do about it, and the exit code that says so.

LoadstoneError              (4) anything the platform itself could not do
|- UsageError               (2) wrong use: nothing was started, nothing was overwritten
|  `- SettingsError         (2) every invalid setting, told at once
|- PlatformError            (4) a part could not start, or could not be restarted
|- ArchiveError             (4) a run folder could not be read or written
|- StreamError              (4) Redis/Valkey could not be reached or refused
`- FormatError              (4) bytes that are not what they claim to be
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ArchiveError",
    "ExitCode",
    "FormatError",
    "LoadstoneError",
    "PlatformError",
    "SettingsError",
    "StreamError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What the exit code of ``loadstone run`` means."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    PLATFORM = 4
    INTERRUPTED = 130


class LoadstoneError(Exception):
    """The root of every error that loadstone raises on purpose.

    ``message`` is one sentence with the offending value and what is allowed; ``hint`` says what to do.
    """

    exit_code: ExitCode = ExitCode.PLATFORM

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(LoadstoneError):
    """Wrong use: a value that cannot be meant. Nothing was started, nothing was overwritten."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """One or more settings are invalid; ``problems`` lists all of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class PlatformError(LoadstoneError):
    """A part of the platform could not start, or could not be restarted."""


class ArchiveError(LoadstoneError):
    """A run folder cannot be read or written."""


class StreamError(LoadstoneError):
    """Redis/Valkey cannot be reached, or refused a command."""


class FormatError(LoadstoneError):
    """Bytes that are not a batch, an event or a journal entry of a version known here."""
