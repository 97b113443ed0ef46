"""RunFolder: where the files of one run are, and the lock that keeps a second writer out.

The files and their columns are described in docs/reference/archive.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.archive.storage import storage_error
from loadstone.errors import ArchiveError, UnreadableRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RunFolder", "publish", "replace_file", "sync_file", "sync_folder", "temporary_name", "valid_run_id"]

_DEFAULT_RESULTS: Final = Path("results")


def valid_run_id(run: str) -> bool:
    """Whether this can be the id of a run, and so the name of a folder."""
    return re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", run) is not None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; its name is the run's id."""

    path: Path

    @property
    def run(self) -> str:
        """The id of the run."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """Folder of the journal's segments."""
        return self.path / "journal"

    @property
    def run_json(self) -> Path:
        """Identity, window, ledgers, objectives and verdict; it exists once the run is closed."""
        return self.path / "run.json"

    @property
    def requests(self) -> Path:
        """Every sample, Parquet."""
        return self.path / "requests.parquet"

    @property
    def rollups(self) -> Path:
        """Every second of every request name, Parquet."""
        return self.path / "rollups.parquet"

    @property
    def usage(self) -> Path:
        """CPU and memory of every container or process at every tick, Parquet."""
        return self.path / "usage.parquet"

    @property
    def events(self) -> Path:
        """Every event, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def stats_csv(self) -> Path:
        """Totals per request name, as Locust's ``--csv`` writes them."""
        return self.path / "stats.csv"

    @property
    def stats_history_csv(self) -> Path:
        """Second by second, as Locust's ``--csv-full-history`` writes them."""
        return self.path / "stats_history.csv"

    @property
    def failures_csv(self) -> Path:
        """Failures per request name and error text, as Locust writes them."""
        return self.path / "failures.csv"

    @property
    def exceptions_csv(self) -> Path:
        """Exceptions of user code, as Locust writes them."""
        return self.path / "exceptions.csv"

    @property
    def report(self) -> Path:
        """The report of the run, HTML."""
        return self.path / "report.html"

    @property
    def built(self) -> tuple[Path, ...]:
        """Every file that is built from the journal when the run is closed, but run.json."""
        tables = (self.requests, self.rollups, self.usage, self.events)
        return (*tables, self.stats_csv, self.stats_history_csv, self.failures_csv, self.exceptions_csv)

    @property
    def run_json_before(self) -> Path:
        """The run.json of an earlier closing, while the files of a later one take the places of its files."""
        return self.path / ".run.json.before"

    @property
    def logs(self) -> Path:
        """Folder of the logs of the processes that ran it, see `loadstone.archive.logs`."""
        return self.path / "logs"

    @property
    def cure(self) -> str:
        """What can be done about a damaged file, for the hint of an error."""
        if self.journal.is_dir():
            return f"Build it again from the run's journal with `{self.command('recover')}`"
        return "Take it from a copy of the run: its folder holds no journal to build it from again"

    def command(self, verb: str, *options: str) -> str:
        """The command that applies a verb to this run; it works where this process was started."""
        where = () if self.path.parent == _DEFAULT_RESULTS else ("--results", str(self.path.parent))
        return shlex.join(["loadstone", *verb.split(), self.run, *options, *where])

    @property
    def is_closed(self) -> bool:
        """Whether the run was closed: run.json is written last. It may be damaged, or no file at all, since then."""
        return os.path.lexists(self.run_json)

    @property
    def closed_state(self) -> tuple[int, ...]:
        """What changes when the run is closed again; nothing where run.json cannot be looked at."""
        try:
            found = self.run_json.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_size

    @property
    def is_run(self) -> bool:
        """Whether this looks like the folder of a run, closed or not; one that may not be looked into does."""
        if self.is_closed or _is_folder(self.journal):
            return True
        return (
            _is_folder(self.path)
            and not os.access(self.path, os.R_OK | os.X_OK, effective_ids=True)
            and valid_run_id(self.run)
        )

    def create(self) -> RunFolder:
        """Create the folder and its parents durably. Raises `StorageError` when that is not possible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)
        except OSError as error:
            failed = f"cannot create the run folder {self.path}"
            raise storage_error(failed, self.path, error, everywhere=True) from error
        return self

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for writing; raises `ArchiveError` while another process, or another lock, holds it.

        The lock is on the folder itself (flock): it leaves no file behind and ends with the process, even a killed one.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            _flock(handle, self.path)
            yield
        finally:
            os.close(handle)


def _flock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ArchiveError(
            f"run folder {path} is being written by another process",
            hint="Wait until the run has ended, or stop the other loadstone process",
        ) from error


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (`Path.is_dir` raises where one may not look)


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that the names in it survive a power cut."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Flush a file to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(target: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, fsync it and move it to ``target``: readers see the old or the new one."""
    temporary = temporary_name(target)
    write(temporary)
    publish(temporary, target)


def temporary_name(target: Path) -> Path:
    """The name under which a file is written until it is complete; leftovers of a crash are overwritten."""
    return target.with_name(f".{target.name}.tmp")


def publish(temporary: Path, target: Path) -> None:
    """Move a complete temporary file to its name, so that both survive a power cut.

    Raises `UnreadableRunError` when a folder has that name.
    """
    if target.is_dir():
        raise UnreadableRunError(f"{target} is a folder, where a file is to be written", hint="Move it away")
    sync_file(temporary)
    temporary.replace(target)
    sync_folder(target.parent)
