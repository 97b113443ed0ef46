"""A file of a run folder before it is opened: one that is no plain file, such as a pipe, could block its reader."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_plain_file", "unreadable"]

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
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnreadableRunError(f"{path} is {kind}, where a file is expected", hint=hint)
    if most_bytes is not None and found.st_size > most_bytes:
        size, most = (f"{count / 2**20:.0f} MiB" for count in (found.st_size, most_bytes))
        raise UnreadableRunError(f"{path} is damaged: it has {size}, where {most} are the most", hint=hint)


def unreadable(path: Path, error: Exception, hint: str) -> UnreadableRunError:
    """The error that names a file, why it cannot be read, and the cure."""
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return UnreadableRunError(f"{path} cannot be read: {cause}", hint=hint)
