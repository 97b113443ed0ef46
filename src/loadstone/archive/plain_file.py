"""A file of a run folder before it is opened: one that is no plain file, such as a pipe, could block its reader."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_plain_file", "open_plain_file", "unreadable"]

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_plain_file(path: Path, hint: str, *, most_bytes: int | None = None) -> None:
    """Raise `UnreadableRunError` unless ``path`` is a plain file, or a link to one, that is not too large to be one.

    Raises `OSError` when there is nothing, or nothing that may be looked at.
    """
    found = path.stat()
    if kind := _other_kind(found.st_mode):
        raise UnreadableRunError(f"{path} is {kind}, where a file is expected", hint=hint)
    if most_bytes is not None and found.st_size > most_bytes:
        size, most = (f"{count / 2**20:.0f} MiB" for count in (found.st_size, most_bytes))
        raise UnreadableRunError(f"{path} is damaged: it has {size}, where {most} are the most", hint=hint)


def open_plain_file(path: Path) -> BinaryIO:
    """Open a file for reading, without waiting for it; `OSError` also for what is no plain file, or a link to one."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if kind := _other_kind(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"it is {kind}, where a file is expected")
    return os.fdopen(handle, "rb")


def _other_kind(mode: int) -> str:
    """What something is that is no plain file; empty for one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def unreadable(path: Path, error: Exception, hint: str) -> UnreadableRunError:
    """The error that names a file, why it cannot be read, and the cure."""
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return UnreadableRunError(f"{path} cannot be read: {cause}", hint=hint)
