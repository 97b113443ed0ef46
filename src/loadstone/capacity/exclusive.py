"""Exclusive: while a study of a target goes on, no other one on this machine may begin."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

__all__ = ["only_study_of"]

_PORTS: Final = {"http": 80, "https": 443}
_HERE: Final = frozenset({"localhost", "::1", "0.0.0.0", "::"})  # noqa: S104  (nothing listens there)


@contextmanager
def only_study_of(target: str, study: str) -> Iterator[None]:
    """For as long as this lasts, this is the only study of this target: a rig's name, or base addresses.

    Raises `UsageError` if there is another one, also of another user or with other results. The file with the lock
    stays, as one that is removed could be locked by two.
    """
    with ExitStack() as locks:
        for key in sorted(_keys(target)):
            locks.enter_context(_locked(key, target, study))
        yield


def _keys(target: str) -> set[str]:
    """One for each address, the same for every spelling of it; a rig's name as it is."""
    try:
        return {_address(urlsplit(part)) for part in target.split(", ")}
    except ValueError:
        return {target}


def _address(parts: SplitResult) -> str:
    """Scheme, host, port and path, without the user part. Raises `ValueError` for what is no address."""
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(parts.geturl())
    host = parts.hostname.removesuffix(".")
    here = host in _HERE or host.startswith("127.")
    port = parts.port or _PORTS[parts.scheme]
    return f"{parts.scheme}://{'localhost' if here else host}:{port}{parts.path.rstrip('/')}"


@contextmanager
def _locked(key: str, target: str, study: str) -> Iterator[None]:
    name = f"loadstone-study-{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"
    path = Path(tempfile.gettempdir()) / name
    try:
        lock = _opened(path)
    except OSError as error:
        raise PlatformError(
            f"{path} cannot be opened, so it is not known whether another study of {target} goes on: {error}",
            hint="Remove it if none does",
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = os.pread(lock, 100, 0).decode(errors="replace").strip()
            raise UsageError(
                f"another study of {target} is in progress{f': {other}' if other else ''}",
                hint="Wait until it has ended: two would measure each other's load",
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, study.encode(), 0)
        yield
    finally:
        os.close(lock)


def _opened(path: Path) -> int:
    """Open the file for reading and writing, whoever made it.

    A kernel may refuse O_CREAT for somebody else's file in a folder that everybody writes to (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    lock = os.open(path, flags | os.O_CREAT, 0o666)
    with contextlib.suppress(OSError):  # the umask took away what others need
        os.fchmod(lock, 0o666)
    return lock
