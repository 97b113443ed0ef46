"""What keeps a disk from taking what is written, in words: the cause, and what to do about it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from loadstone.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["is_of_the_disk", "storage_error"]

_KEPT: Final = "What is not on disk was not acknowledged and is still in the stream"
_CURES: Final[Mapping[int, str]] = {
    errno.ENOSPC: "Free some disk space",
    errno.EFBIG: "Free some disk space, or raise the limit on the size of files",
    errno.EDQUOT: "Delete files of this user, or have the quota raised",
    errno.EROFS: "Mount the file system for writing again; the kernel's log says why it is read-only",
    errno.EACCES: "Let this user write there",
    errno.EPERM: "Let this user write there",
    errno.EIO: "Look for errors of the disk in the kernel's log",
    errno.ENOENT: "Put the folder back",
    errno.ENOTDIR: "Put the folder back",
}
_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def is_of_the_disk(error: OSError) -> bool:
    """Whether every other file on that disk meets the same error."""
    return error.errno in _OF_THE_DISK


def storage_error(failed: str, folder: Path, error: OSError) -> StorageError:
    """The error of a folder that does not take what is written, such as "cannot write the journal"."""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC and _has_no_inode(folder):
        return StorageError(f"{failed}: no inode is left on its disk", hint=f"Delete some files there. {_KEPT}")
    cure = _CURES.get(error.errno or 0, "Make the folder writable")
    return StorageError(f"{failed}: {reason}", hint=f"{cure}. {_KEPT}")


def _has_no_inode(folder: Path) -> bool:
    for existing in (folder, *folder.parents):
        try:
            about = os.statvfs(existing)
        except OSError:
            continue
        return about.f_files > 0 and about.f_favail == 0
    return False
