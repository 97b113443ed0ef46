"""Where private stream servers keep their data: one folder per start of loadstone, which outlives it if need be.

The folders are in ``$XDG_STATE_HOME/loadstone/streams`` (default: ``~/.local/state``), or in the folder for temporary
files where that cannot be written. A folder is locked (flock) by the loadstone that made it and by its server, whose
inherited file keeps the lock until both have ended: an unlocked folder is one that was left.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError, UsageError
from loadstone.settings import state_home
from loadstone.stream.consumer import is_finished
from loadstone.stream.keys import AGGREGATORS, EVENTS, OPEN_RUNS, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

__all__ = ["StreamFolder", "holds_what_no_archive_has", "is_read", "kept_streams"]

_ABOUT: Final = "stream.json"
_APPENDED: Final = "appendonlydir"
_FRESH: Final = frozenset({"appendonly.aof.manifest", "appendonly.aof.1.base.rdb"})
"""Files that a server makes at its start, besides an empty one for what is appended."""
_PRIVATE: Final = 0o700


@dataclass(slots=True)
class StreamFolder:
    """The folder of one server's data, locked. ``results`` is the folder of results that its runs belong to."""

    path: Path
    results: Path
    lock: int

    @classmethod
    def create(cls, results: Path) -> StreamFolder:
        """A new folder. Raises `PlatformError` when none can be made."""
        reasons = []
        for place in _places():
            try:
                with _locked_place(place):
                    path = Path(tempfile.mkdtemp(prefix="stream-", dir=place))
                    (path / _ABOUT).write_text(json.dumps({"results": str(results)}), encoding="ascii")
                    return cls(path, results, _lock(path))
            except OSError as error:
                reasons.append(f"{place}: {error.strerror or error}")
        raise PlatformError(
            f"no folder for the data of the private Valkey can be made ({'; '.join(reasons)})",
            hint="Set XDG_STATE_HOME to a folder that this user may write to, or give --redis-url",
        )

    @classmethod
    def open(cls, path: Path) -> StreamFolder:
        """A folder that was kept. Raises `UsageError` when it is none, `PlatformError` when it is in use."""
        try:
            results = Path(json.loads((path / _ABOUT).read_text(encoding="ascii"))["results"])
            return cls(path.resolve(), results, _lock(path))
        except BlockingIOError as error:
            raise PlatformError(f"the stream in {path} is in use", hint="Wait until its loadstone has ended") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is not the folder of a kept stream: {error}", hint="Give the one that loadstone named"
            ) from error

    @property
    def has_data(self) -> bool:
        """Whether the server has ever written an entry; a lower bound that needs no server."""
        files = [path for path in (self.path / _APPENDED).glob("*") if path.name not in _FRESH]
        return any(path.stat().st_size for path in files)

    def remove(self) -> None:
        """Remove it with all that it holds."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Unlock it, and keep it."""
        os.close(self.lock)


def holds_what_no_archive_has(client: Redis) -> bool:
    """Whether a server holds a run that is not closed, or an entry that is in no journal.

    Raises `loadstone.stream.client.FAILURES`.
    """
    return bool(client.scard(OPEN_RUNS)) or not is_read(client, EVENTS, SAMPLES)


def is_read(client: Redis, *streams: str) -> bool:
    """Whether the Aggregator has acknowledged all of these streams. Raises as `holds_what_no_archive_has` does."""
    return all(is_finished(client, stream, AGGREGATORS) for stream in streams)


def kept_streams(results: Path | None = None) -> list[StreamFolder]:
    """The folders, of these results or of all, that nobody uses any more and that hold data; each is locked now.

    Those without data are removed.
    """
    found = []
    for place in filter(Path.is_dir, _places()):
        with suppress(OSError), _locked_place(place):
            for path in sorted(place.glob("stream-*")):
                with suppress(PlatformError, UsageError):
                    kept = StreamFolder.open(path)
                    if not kept.has_data:
                        kept.remove()
                    elif results is None or kept.results == results:
                        found.append(kept)
                    else:
                        kept.release()
    return found


def _places() -> list[Path]:
    return [
        state_home() / "loadstone" / "streams",
        Path(tempfile.gettempdir()) / f"loadstone-{os.getuid()}" / "streams",
    ]


@contextmanager
def _locked_place(place: Path) -> Iterator[None]:
    """Make a folder of this user's own, and let nobody make or look for streams in it meanwhile. Raises `OSError`."""
    place.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    for folder in (place, place.parent):
        about = folder.lstat()
        if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
            raise PermissionError(f"{folder} belongs to somebody else")
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock(path: Path) -> int:
    """A lock on a folder, as an open file. Raises `BlockingIOError` while another process holds it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
