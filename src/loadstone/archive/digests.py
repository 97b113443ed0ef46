"""Digests: by which a flipped, cut, exchanged or missing file of a run folder is noticed.

run.json holds length and SHA-256 of every file that it was written with. run.json itself and report.html, which are
written again later, end in a seal: the SHA-256 of everything before it. A seal and its text appear in one step, where
two files could not.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from loadstone.archive.integrity import FileDigest

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.run_record import RunRecord

__all__ = [
    "REPORT_SEAL",
    "RUN_SEAL",
    "Seal",
    "digest_of",
    "digest_of_bytes",
    "open_regular",
    "problem_with",
    "problem_with_report",
]

_BLOCK: Final = 1024 * 1024


def digest_of_bytes(data: bytes | memoryview) -> FileDigest:
    """Length and SHA-256 of some bytes."""
    return FileDigest(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def digest_of(path: Path, length: int | None = None) -> FileDigest:
    """Length and SHA-256 of a file, or of its first ``length`` bytes.

    Raises `OSError` when it cannot be read, also because it is not a regular file.
    """
    found, size = hashlib.sha256(), 0
    with open_regular(path) as file:
        while block := file.read(_BLOCK if length is None else min(_BLOCK, length - size)):
            found.update(block)
            size += len(block)
    return FileDigest(bytes=size, sha256=found.hexdigest())


def problem_with(path: Path, expected: FileDigest, *, may_grow: bool = False) -> str:
    """In which way a file is not what it was; empty if it is. ``may_grow``: bytes behind the expected ones are fine."""
    try:
        size = path.stat().st_size
        if size < expected.bytes or (size > expected.bytes and not may_grow):
            return f"has {size:,} bytes where {expected.bytes:,} were written"
        found = digest_of(path, expected.bytes)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return "" if found == expected else "is damaged: its content does not match its digest in run.json"


def problem_with_report(path: Path, record: RunRecord) -> str:
    """In which way report.html is not a report of this run; empty if it is, or if version 0.1 wrote it."""
    try:
        with open_regular(path) as file:
            is_whole = REPORT_SEAL.holds(file.read(), record.id)
    except FileNotFoundError:
        return "is missing" if record.files else ""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if is_whole or (is_whole is None and not record.files):
        return ""
    return "is damaged, or the report of another run: its content does not match its digest"


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; `OSError` also for a folder, or for a pipe, which nobody may ever write."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is not a regular file")
    return os.fdopen(handle, "rb")


class Seal:
    """How one kind of file carries the digest of its own text: between ``begin`` and ``end``, at its very end."""

    def __init__(self, begin: bytes, end: bytes) -> None:
        self._begin, self._end = begin, end
        self._form = re.compile(re.escape(begin) + rb"sha256:([0-9a-f]{64})" + re.escape(end))
        self._length = len(begin) + len("sha256:") + hashlib.sha256().digest_size * 2 + len(end)

    def put(self, text: bytes, salt: str = "") -> bytes:
        """The text with its seal behind it. Texts with different salts have different seals."""
        return text + self._begin + b"sha256:" + _salted(text, salt) + self._end

    def holds(self, text: bytes, salt: str = "") -> bool | None:
        """Whether a text is what was sealed; None when it ends in no seal."""
        at = len(text) - self._length
        found = self._form.fullmatch(text, at) if at >= 0 else None
        return None if found is None else found[1] == _salted(text[:at], salt)


def _salted(text: bytes, salt: str) -> bytes:
    found = hashlib.sha256(salt.encode())
    found.update(text)
    return found.hexdigest().encode()


RUN_SEAL: Final = Seal(b'"digest": "', b'"\n}\n')
"""The last key of run.json. Without salt: the run's id is in the text."""
REPORT_SEAL: Final = Seal(b"<!-- ", b" -->\n")
"""The last line of report.html. Its salt is the run's id."""
