"""Kept streams: what a start of loadstone left in the data of its private server, put into the run folders afterwards.

The server is started again, and the ordinary Aggregator reads until nothing is left; then each run that was open is
closed from its journal, as `loadstone recover` does.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder
from loadstone.collector.service import serve_aggregator
from loadstone.domain.live import Trouble
from loadstone.errors import ArchiveError, PlatformError, StorageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.stream_store import is_read
from loadstone.launch.valkey import PrivateValkey
from loadstone.report.html_report import make_report
from loadstone.settings import CollectorSettings, load
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.keys import EVENTS, OPEN_RUNS, SAMPLES, STORAGE_TROUBLE, USAGE, run_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from loadstone.launch.stream_store import StreamFolder

__all__ = ["Drained", "drain"]

_REFUSED_FOR_S: Final = 5.0
"""A disk that took nothing for so long takes nothing."""
_STUCK_FOR_S: Final = 45.0
"""Longer than a folder stays locked after its process was told to end, and than an entry may wait for anything."""


@dataclass(slots=True)
class Drained:
    """What came of a kept stream: the runs that are closed now, and why others are not, or lack a file.

    ``left``: how much is still in the stream, empty if nothing is. ``others``: the runs of a stream that was not read.
    """

    closed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    left: str = ""
    others: tuple[str, ...] = ()


def drain(kept: StreamFolder, results: Path, stopped: Callable[[], bool], wanted: str | None = None) -> Drained:
    """Put what a kept stream holds into the runs in ``results``, close these, and remove it when nothing is left.

    ``wanted``: leave a stream alone that has no run whose id begins so. It is unlocked in the end. Raises
    `PlatformError` when its server does not start or ``stopped()``, and `StorageError` when the disk takes nothing; it
    is kept then, as it is when the entries of some runs are left, and this can be tried again.
    """
    is_empty = False
    try:
        with _served(kept) as url, _connected(url, kept) as client:
            runs = _runs(client)
            if wanted is not None and not any(run.startswith(wanted) for run in runs):
                return Drained(others=runs)
            reading = _Reading(client, stopped)
            serve_aggregator(_settings(url, results), reading)
            is_empty = is_read(client, EVENTS, SAMPLES)
            if not is_empty:
                reading.check(kept)
            drained = _close_all(client, results, stopped)
            is_empty = is_empty and not stopped()  # it knows which runs are still to be closed
            drained.left = "" if is_empty else reading.left(kept)
            return drained
    finally:
        if is_empty:
            kept.remove()
        else:
            kept.release()


def _runs(client: Redis) -> tuple[str, ...]:
    """Every run that a master has opened on this server, and that was not closed long ago."""
    keys: Any = client.scan_iter(match=run_secret("*"))
    return tuple(sorted(key.decode().removeprefix(run_secret("")) for key in keys))


def _settings(url: str, results: Path) -> CollectorSettings:
    return load(CollectorSettings, {"redis_url": url, "results": str(results)}, environ={})


@contextmanager
def _served(kept: StreamFolder) -> Iterator[str]:
    """The address of a server that has this data."""
    with tempfile.TemporaryDirectory(prefix="loadstone-") as folder:
        valkey = PrivateValkey.prepare(kept, Path(folder) / "valkey.log", "127.0.0.1", ReservedPorts())
        try:
            _start(valkey, kept)
            yield valkey.url
        finally:
            valkey.process.stop()
            valkey.remove_socket()


def _start(valkey: PrivateValkey, kept: StreamFolder) -> None:
    valkey.process.start()
    try:
        valkey.wait_until_ready()
    except PlatformError as error:
        raise _unreadable(kept, " ".join(valkey.process.tail().splitlines()[-1:]) or "its server is silent") from error


def _unreadable(kept: StreamFolder, reason: str) -> PlatformError:
    return PlatformError(
        f"the kept stream in {kept.path} cannot be read: {reason}", hint="Remove that folder to give up what it has"
    )


@contextmanager
def _connected(url: str, kept: StreamFolder) -> Iterator[Redis]:
    client = connect(url)
    try:
        yield client
    except FAILURES as error:
        raise _unreadable(kept, str(error)) from error
    finally:
        client.close()


class _Reading:
    """Says when the Aggregator may stop: when everything is read, or nothing has moved for too long."""

    def __init__(self, client: Redis, stopped: Callable[[], bool]) -> None:
        self._client = client
        self._stopped = stopped
        self._left: list[int] = []
        self._moved_s = SYSTEM_CLOCK.monotonic_s()

    def __call__(self) -> bool:
        if self._stopped() or is_read(self._client, EVENTS, SAMPLES, USAGE):
            return True
        now_s = SYSTEM_CLOCK.monotonic_s()
        left = [int(self._client.xlen(stream)) for stream in (EVENTS, SAMPLES, USAGE)]
        if left != self._left:
            self._left, self._moved_s = left, now_s
        return now_s - self._moved_s >= (_REFUSED_FOR_S if self._trouble() else _STUCK_FOR_S)

    def check(self, kept: StreamFolder) -> None:
        """Raise `PlatformError` if it was interrupted, and `StorageError` if the disk took nothing."""
        if self._stopped():
            raise PlatformError(f"{self.left(kept)}: interrupted", hint="Run the same command again")
        if trouble := self._trouble():
            raise StorageError(f"{self.left(kept)}: {trouble.text}", hint="Run the same command again after that")

    def left(self, kept: StreamFolder) -> str:
        """How much nobody has read."""
        return f"{sum(self._left)} entries are still in the stream that is kept in {kept.path}"

    def _trouble(self) -> Trouble | None:
        found: Any = self._client.get(STORAGE_TROUBLE)
        return msgspec.json.decode(found, type=Trouble) if found else None


def _close_all(client: Redis, results: Path, stopped: Callable[[], bool]) -> Drained:
    """Close from its journal every run that the Aggregator left open, until ``stopped()``."""
    drained = Drained()
    members: Any = client.smembers(OPEN_RUNS)
    for run in sorted(member.decode() for member in members):
        if stopped():
            break
        folder = RunFolder(results / run)
        try:
            recover_run(folder)
            make_report(folder)
        except (ArchiveError, OSError) as error:
            drained.refused[run] = str(error)
        else:
            drained.closed.append(run)
            client.srem(OPEN_RUNS, run)
    return drained
