"""Starting ``loadstone`` as a person does, and looking at what it left: folder, processes, temporary files."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
import pyarrow.parquet as pq

from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.domain.event import Users, WorkerLost, decode_event
from support.environ import without_settings
from support.processes import port_answers

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from redis import Redis

    from loadstone.domain.event import Event

SCENARIOS = Path(__file__).parents[1] / "processes" / "runs" / "scenarios"
CALM = ("--objective", "p99<60s")
"""An objective so wide that a worker's event loop may be 3 s late: a busy machine does not change the verdict."""
REPOSITORY = Path(__file__).parents[2]
T = TypeVar("T")


@dataclass(slots=True)
class LoadstoneRun:
    """One ``loadstone run`` with a results and a temporary folder of its own."""

    folder: Path
    arguments: tuple[str, ...]
    verb: str = "run"
    """With a space, a verb and its action."""
    cwd: Path = REPOSITORY
    """The current folder; in another one than the repository it is started by its console script, as by a person."""
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    output: str = ""
    _seen: dict[int, psutil.Process] = field(default_factory=dict)
    _ports: set[int] = field(default_factory=set)

    @property
    def results(self) -> Path:
        """The folder that receives the run's folder."""
        return self.folder / "results"

    @property
    def temporary(self) -> Path:
        """The folder in which it may make temporary ones."""
        return self.folder / "tmp"

    @property
    def state(self) -> Path:
        """The folder in which it may keep what has to survive it."""
        return self.folder / "state"

    def kept_streams(self) -> list[Path]:
        """The folders of the streams that are there, in use or kept."""
        return sorted((self.state / "loadstone" / "streams").glob("stream-*"))

    def start(self) -> LoadstoneRun:
        """Start it and come back at once."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        environ = (
            without_settings() | {"TMPDIR": str(self.temporary), "XDG_STATE_HOME": str(self.state)} | self.variables
        )
        results = () if self.verb == "worker" else ("--results", str(self.results))
        self.process = subprocess.Popen(
            [*self._program(), *self.verb.split(), *results, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environ,
            cwd=self.cwd,
        )
        return self

    def finish(self, timeout_s: float = 90) -> int:
        """Wait for its end; the exit code. What it said is in ``output``."""
        assert self.process is not None
        self._remember()
        self.output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode

    def run(self) -> int:
        """Start and finish."""
        return self.start().finish()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self._remember()
        self.process.send_signal(number)

    def part(self, *words: str) -> psutil.Process:
        """The youngest process below it whose command line holds all these words, once there is one."""
        return self.wait_for(lambda: next(iter(sorted(self._parts(words), key=lambda p: -p.create_time())), None))

    def service(self, name: str) -> psutil.Process:
        """The youngest collector below it that runs this service alone: aggregator or writer."""

        def look() -> psutil.Process | None:
            serving = [process for process in self._parts(("loadstone", "collector")) if _serves(process, name)]
            return max(serving, key=lambda process: process.create_time(), default=None)

        return self.wait_for(look)

    def wait_for(self, look: Callable[[], T | None], timeout_s: float = 40) -> T:
        """What ``look`` finds, as soon as it finds something."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if (found := look()) is not None:
                return found
            assert self.process is not None
            assert self.process.poll() is None, self.finish()
            time.sleep(0.05)
        raise AssertionError(f"nothing found within {timeout_s} s")

    def ports(self) -> set[int]:
        """The TCP ports that it and the processes below it listen on now."""
        self._remember()
        for process in self._alive():
            with contextlib.suppress(psutil.Error):
                found = process.net_connections("tcp")
                self._ports |= {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}
        return self._ports

    def kill_everything(self) -> None:
        """End it and every process below it as a power cut would: the one that watches first, and nobody in order."""
        self._remember()
        for process in self._alive():
            process.kill()
        assert self.process is not None
        self.output, _ = self.process.communicate(timeout=30)

    def left_running(self) -> list[str]:
        """Processes of it that still run, and ports that `ports` saw and that still answer."""
        processes = [str(process) for process in self._alive()]
        return processes + [f"port {port}" for port in self._ports if port_answers(port)]

    def left_behind(self) -> list[str]:
        """What still runs, and temporary files and streams that are still there."""
        return self.left_running() + [str(path) for path in (*self.temporary.iterdir(), *self.kept_streams())]

    def run_folder(self) -> Path:
        """The folder of its one run."""
        folders = [path for path in self.results.iterdir() if path.is_dir()]
        assert len(folders) == 1, self.output
        return folders[0]

    def run_json(self) -> dict[str, Any]:
        """The contents of its run.json."""
        return self.document(self.run_folder())

    @staticmethod
    def document(folder: Path) -> dict[str, Any]:
        """The contents of a folder's run.json."""
        return dict(json.loads((folder / "run.json").read_text()))

    @staticmethod
    def live(client: Redis) -> dict[str, Any] | None:
        """The newest live snapshot of the one run on a stream server of the test's own."""
        found = [json.loads(text) for key in client.scan_iter(match="live:*") if (text := client.get(key))]
        return dict(found[0]) if found else None

    def events_so_far(self) -> list[Event]:
        """What the journal of its one run tells while it goes on."""
        entries = read_journal(self.run_folder() / "journal")
        return [decode_event(entry.blob) for entry in entries if entry.kind is EntryKind.EVENTS]

    def wait_for_moved_users(self, users: int) -> None:
        """Until a worker is lost and so many users run again, which a live snapshot may still show from before."""

        def moved() -> bool | None:
            found = self.events_so_far()
            lost_ns = next((each.at_ns for each in found if isinstance(each.payload, WorkerLost)), None)
            back_ns = [each.at_ns for each in found if isinstance(each.payload, Users) and each.payload.users == users]
            return (lost_ns is not None and any(at_ns > lost_ns for at_ns in back_ns)) or None

        self.wait_for(moved)

    def events(self) -> list[dict[str, Any]]:
        """The run's events."""
        return [json.loads(line) for line in (self.run_folder() / "events.jsonl").read_text().splitlines()]

    def rows(self) -> int:
        """How many requests the archive holds."""
        return int(pq.read_metadata(self.run_folder() / "requests.parquet").num_rows)

    def kill_leftovers(self) -> None:
        """End whatever a failed test left."""
        self._remember()
        for process in self._seen.values():
            if process.is_running():
                process.kill()
        if self.process is not None:
            self.process.communicate()

    def _program(self) -> list[str]:
        script = str(Path(sys.executable).with_name("loadstone"))
        return [sys.executable, "-m", "loadstone"] if self.cwd == REPOSITORY else [script]

    def _alive(self) -> list[psutil.Process]:
        return [process for process in self._seen.values() if process.is_running() and not _is_zombie(process)]

    def _parts(self, words: tuple[str, ...]) -> Iterator[psutil.Process]:
        self._remember()
        for process in self._seen.values():
            try:
                if all(word in " ".join(process.cmdline()) for word in words):
                    yield process
            except psutil.Error:
                continue

    def _remember(self) -> None:
        assert self.process is not None
        try:
            root = psutil.Process(self.process.pid)
            self._seen |= {process.pid: process for process in [root, *root.children(recursive=True)]}
        except psutil.NoSuchProcess:
            return


def _is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended, and only who started it has not asked for its exit code yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _serves(process: psutil.Process, name: str) -> bool:
    try:
        return process.environ().get("LOADSTONE_ONLY") == name
    except psutil.Error:
        return False


def run_records(results: Path) -> list[dict[str, Any]]:
    """Every run.json below a folder of results, the oldest run first."""
    return [json.loads(file.read_text()) for file in sorted(results.glob("*/run.json"))]
