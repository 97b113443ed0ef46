"""What keeps a disk from taking what is written, in words: the cause, and what to do about it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from loadstone.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["reason_and_cure", "storage_error"]

_KEPT: Final = "What is not on disk was not acknowledged and is still in the stream"
_CURES: Final[Mapping[int, str]] = {
    errno.ENOSPC: "Free some disk space",
    errno.EFBIG: "Free some disk space, or raise the limit on the size of files",
    errno.EDQUOT: "Delete files of this user, or have the quota raised",
    errno.EROFS: "Mount the file system for writing again; the kernel's log says why it is read-only",
    errno.EACCES: "Let this user write there",
    errno.EPERM: "Let this user write there",
    errno.EIO: "Look for errors of the disk in the kernel's log",
    errno.ENOENT: "Put the folder back, or name another one with --results",
    errno.ENOTDIR: "Put the folder back, or name another one with --results",
}
_EVERYWHERE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def storage_error(failed: str, folder: Path, error: OSError, *, everywhere: bool = False) -> StorageError:
    """The error of a folder that does not take what is written; ``failed`` is like "cannot write the journal"."""
    reason, cure = reason_and_cure(folder, error)
    everywhere = everywhere or error.errno in _EVERYWHERE
    return StorageError(f"{failed}: {reason}", hint=f"{cure}. {_KEPT}", everywhere=everywhere)


def reason_and_cure(folder: Path, error: OSError) -> tuple[str, str]:
    """Why something below that folder cannot be written, and what to do about it, in words."""
    if error.errno == errno.ENOSPC and _has_no_inode(folder):
        return "no inode is left on its disk", "Delete some files there"
    return error.strerror or str(error), _CURES.get(error.errno or 0, "Make the folder writable")


def _has_no_inode(folder: Path) -> bool:
    for existing in (folder, *folder.parents):
        try:
            about = os.statvfs(existing)
        except OSError:
            continue
        return about.f_files > 0 and about.f_favail == 0
    return False
