"""What is fuzzed: for each kind of input how inputs are made, and what has to hold for every one of them.

A target takes bytes, so that what was found once is a small file in ``tests/fixtures/corpus``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from hypothesis import strategies as st

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import SEGMENT_MAGIC, Entry, EntryKind, frame, mark
from loadstone.archive.journal.reader import JournalReader, SalvageReader
from loadstone.charts.page import write_report
from loadstone.domain.event import _PAYLOADS
from loadstone.errors import ArchiveError, FormatError
from loadstone.gate.compare import compare_runs
from loadstone.report.export import FormatName, What, export
from loadstone.report.terminal import print_comparison, print_runs, print_summary
from support.closed_runs import MadeRun
from support.forged import FORGED, batch_blob, columns_blob, envelope, forged, usage_blob
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.whole_chain import whole_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

__all__ = ["TARGETS", "FuzzTarget"]


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """``inputs`` makes them, ``check`` raises for one that shows a defect; ``slow`` ones take a tenth of a second."""

    name: str
    inputs: SearchStrategy[bytes]
    check: Callable[[bytes], None]
    slow: bool = False


_ODD: Final[SearchStrategy[Any]] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**53, 10**12, 10**12 + 1, 2**63 - 1, 2**63, 2**64, 10**400, -(2**63)])
    | st.floats()
    | st.sampled_from([1e15, -1e15, 1e-300, 1e308, 0.5, 90 * 86_400.0])
    | st.sampled_from(["3", "", "\ud800", "\x00", "\x1b[2J", "x" * 300, "p95<500ms", "?" + "token" * 50])
    | st.sampled_from([[], [[]], {}, [1, None], [["GET", None]], [[[], {}]], ["x"], [[0, 2**38 - 1, 0]], {"a": {}}])
)
_TIMES: Final = st.integers(0, 2**63)
_NO_MOMENTS: Final = st.sampled_from(["2026-02-31T00:00:00.000000Z", "0000-00-00T99:99:99.999999Z"])
_EDGES: Final = st.sampled_from([0, 1, 127, 128, 255])


@st.composite
def mutated(draw: st.DrawFn, seeds: Callable[[], list[bytes]]) -> bytes:
    """One of the seeds with a few bytes changed, put in, cut out or repeated."""
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "put in", "cut out", "cut off", "repeat", "text"])):
            case "change":
                data[at : at + 1] = bytes([draw(_EDGES | st.integers(0, 255))])
            case "put in":
                data[at:at] = draw(st.binary(min_size=length, max_size=length))
            case "cut out":
                del data[at : at + length]
            case "cut off":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + length]
            case _:
                data[at : at + length] = draw(st.sampled_from([b"null", b"-1", b"1e999", b'"', b"[", b"{}", b"9" * 30]))
    return bytes(data)


def _small(kind: EntryKind) -> list[bytes]:
    """Valid entries of a kind, and forged ones that are small."""
    names = [name for name, (of, _) in FORGED.items() if of is kind and " MB" not in name and "0,000" not in name]
    return [entry.blob for name in names for entry in forged(name)[:1] if len(entry.blob) < 4000]


_SMALL: Final = cache(_small)


@st.composite
def _batches(draw: st.DrawFn) -> bytes:
    keys = ("users", "cpu_pct", "rss_bytes", "seq", "produced", "dropped", "buffered", "sent_ns", "final", "worker")
    more = ("loop_lag_us", "stalls", "cut", "names", "errors", "aborted", "odd", "odd_example", "arrivals")
    changes = draw(
        st.dictionaries(
            st.sampled_from([*keys, *more, "clock_offset_ms", "boot", "stuck", "went_away", "n"]), _ODD, max_size=3
        )
    )
    if draw(st.booleans()):
        return batch_blob(**changes)
    wide = st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**38, 2**40]), min_size=5, max_size=5)
    ends = st.lists(st.integers(0, 9_214_646_399_999_999_999), min_size=5, max_size=5)
    columns = {"duration_us": draw(wide), "bytes": draw(wide), "end_ns": draw(ends)}
    chosen = {name: columns[name] for name in draw(st.sets(st.sampled_from(sorted(columns))))}
    if draw(st.booleans()):
        return batch_blob(columns_blob(**chosen), **changes)
    late = np.array(draw(wide), "<i8").tobytes()
    return batch_blob(columns_blob(**chosen) + late, **({"v": 2, "arrivals": [9, 7, 2]} | changes))


@st.composite
def _events(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(sorted(_PAYLOADS)))
    fields = sorted(_PAYLOADS[kind].__struct_fields__) or ["nothing"]
    data = draw(st.dictionaries(st.sampled_from(fields), _ODD, max_size=3))
    around = draw(
        st.dictionaries(st.sampled_from(["at_ns", "seq", "source"]), _ODD | st.integers(0, 2**63), max_size=1)
    )
    return envelope(kind, data, **around)


@st.composite
def _ticks(draw: st.DrawFn) -> bytes:
    keys = (
        "service",
        "container",
        "cpu_cores",
        "cpu_limit",
        "throttled_pct",
        "mem_bytes",
        "mem_limit",
        "rx_bps",
        "oom",
    )
    rows = draw(st.lists(st.dictionaries(st.sampled_from(keys), _ODD, max_size=3), min_size=1, max_size=3))
    around = draw(
        st.dictionaries(st.sampled_from(["at_ns", "seq", "balances"]), _ODD | st.integers(0, 2**63), max_size=1)
    )
    return usage_blob(*rows, **around)


def _entry_check(kind: EntryKind) -> Callable[[bytes], None]:
    """Refused, or everything can be done with a run that has it."""

    def check(blob: bytes) -> None:
        try:
            decode_entry(kind, blob)
        except FormatError:
            return
        worker, run = IncarnationMaker(), RunMaker().started(objectives=["p95<500ms"])
        run.add(worker.batch(samples(10, 0, 1)))
        rest = RunMaker(events=run.events, requests=run.requests).stopped(1).add(worker.batch(at_s=1, final=True))
        with _folder() as folder:
            whole_chain(RunFolder(folder / "r"), [*run.entries, Entry(kind, "1-0", blob), *rest.entries])

    return check


@contextlib.contextmanager
def _folder() -> Any:
    """A folder of its own for each input, which a fixture is not."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        yield Path(folder)


@cache
def _segments() -> list[bytes]:
    entries = RunMaker().started().add(IncarnationMaker().batch(samples(3, 0, 1))).entries
    parts = [SEGMENT_MAGIC, *(frame(entry) for entry in entries)]
    parts.insert(3, mark(sum(map(len, parts[:3]))))
    whole = b"".join(parts)
    return [whole, whole + mark(len(whole)), SEGMENT_MAGIC, b""]


def _check_segment(data: bytes) -> None:
    """A damaged segment yields nothing that was not written, and raises nothing but `ArchiveError`."""
    written = {entry.blob for entry in RunMaker().started().add(IncarnationMaker().batch(samples(3, 0, 1))).entries}
    with _folder() as folder:
        (folder / "00000001.lsj").write_bytes(data)
        for reader in (JournalReader(folder), SalvageReader(folder)):
            with contextlib.suppress(ArchiveError):
                assert {entry.blob for entry in reader} <= written


@cache
def _closed() -> Path:
    """A closed run, which is copied for each input, without digests, as of 0.1: what they notice, nobody reads."""
    folder = MadeRun(seconds=4, failure_share=0.2).close(Path(tempfile.mkdtemp(prefix="fuzz-run-")))
    document = json.loads(folder.run_json.read_text())
    del document["files"], document["digest"]
    folder.run_json.write_text(json.dumps(document))
    return folder.path


def _file_seeds(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_closed() / name).read_bytes()]


def _file_check(name: str) -> Callable[[bytes], None]:
    """All readers of a run whose file was changed read it, or say what is wrong with it."""

    def check(data: bytes) -> None:
        with _folder() as results:
            folder = RunFolder(results / _closed().name)
            folder.create()
            for path in _closed().iterdir():
                if path.is_file() and path.name != name:
                    shutil.copy(path, folder.path)
            (folder.path / name).write_bytes(data)
            for read in (_show, _report, _compare, *(_exporter(what) for what in What)):
                with contextlib.suppress(ArchiveError), contextlib.redirect_stdout(io.StringIO()):
                    read(folder)

    return check


def _show(folder: RunFolder) -> None:
    print_runs(folder.path.parent)
    print_summary(folder)


def _report(folder: RunFolder) -> None:
    write_report(folder)


def _compare(folder: RunFolder) -> None:
    print_comparison(compare_runs(ClosedRun.open(RunFolder(_closed())), ClosedRun.open(folder), allow_unlike=True))


def _exporter(what: What) -> Callable[[RunFolder], Any]:
    return lambda folder: export(folder, what, FormatName.CSV, io.BytesIO(), lambda _: None)


@st.composite
def _records(draw: st.DrawFn) -> bytes:
    """A run.json with a few of its values replaced."""
    document = json.loads((_closed() / "run.json").read_text())
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if not (isinstance(inner, dict | list) and inner) or draw(st.integers(0, 9)) == 0:
                place[key] = copy.deepcopy(draw(_ODD | _NO_MOMENTS))  # it is changed, too
                break
            place = inner
    return json.dumps(document).encode()


_KINDS: Final = {"samples": EntryKind.SAMPLES, "events": EntryKind.EVENTS, "usage": EntryKind.USAGE}
_FILES: Final = ("run.json", "events.jsonl", "failures.csv", "rollups.parquet", "usage.parquet", "requests.parquet")
TARGETS: Final[tuple[FuzzTarget, ...]] = (
    *(
        FuzzTarget(f"bytes of {name}", mutated(partial(_SMALL, kind)), _entry_check(kind), slow=True)
        for name, kind in _KINDS.items()
    ),
    FuzzTarget("values of samples", _batches(), _entry_check(EntryKind.SAMPLES), slow=True),
    FuzzTarget("values of events", _events(), _entry_check(EntryKind.EVENTS), slow=True),
    FuzzTarget("values of usage", _ticks(), _entry_check(EntryKind.USAGE), slow=True),
    FuzzTarget("journal segment", mutated(_segments), _check_segment),
    FuzzTarget("values of run.json", _records(), _file_check("run.json"), slow=True),
    *(FuzzTarget(f"bytes of {name}", mutated(_file_seeds(name)), _file_check(name), slow=True) for name in _FILES),
)
"""Everything that is fuzzed, by `make fuzz` for as long as it is told, and in the tests with few examples."""
