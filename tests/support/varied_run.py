"""A run with everything in it, and what comes of closing it."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING, Any

from loadstone.archive.finalize.closing import RunResult, close_run
from loadstone.archive.folder import RunFolder
from loadstone.domain.event import EventKind
from loadstone.domain.usage_tick import Usage
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, write_journal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.batch import Batch

__all__ = ["NAMES", "at", "closed", "document_of", "varied", "varied_run"]

HOSTILE = "a, \"b\"\n'c'\r\n\\ ; \N{SNOWMAN}\t" + "x" * 500
NAMES = [("POST", "/predict"), ("GET", "/predict"), ("GET", "/"), ("", "no method"), ("GET", 'odd, "name"\n')]


def at(seconds: float) -> int:
    """A moment so many seconds after `START`, ns."""
    return START + round(seconds * SECOND)


def closed(folder: Path, entries: Iterable[Entry], **options: Any) -> RunResult:
    """A run folder made of these entries, closed."""
    shutil.rmtree(folder / "20260922-000000-abcd", ignore_errors=True)
    run = RunFolder(folder / "20260922-000000-abcd").create()
    write_journal(run.journal, entries)
    values: dict[str, Any] = {"now_ns": at(1000)}
    return close_run(run, **(values | options))


def document_of(result: RunResult) -> dict[str, Any]:
    """The run.json of a closed run, as it is on disk."""
    document: dict[str, Any] = json.loads(result.folder.run_json.read_text())
    return document


def varied(count: int, from_s: float, to_s: float, seed: int) -> list[Sample]:
    """Samples of many names and outcomes."""
    rng = random.Random(seed)
    return [
        Sample(
            from_s + (to_s - from_s) * number / count,
            duration_us=int(rng.lognormvariate(10, 1)),
            name=rng.choice(NAMES),
            error=rng.choice([None] * 8 + ["boom", HOSTILE]),
            status=rng.choice([200, 200, 500, 0]),
            bytes=rng.randrange(10_000),
            ttfb_us=rng.choice([-1, 500]),
        )
        for number in range(count)
    ]


def varied_run(workers: int = 3, seconds: int = 8, per_second: int = 60) -> RunMaker:
    """Failures, several names, a worker that joins late, one that lags behind; ramp done at 2 s, stop at the end."""
    run = RunMaker()
    run.event(EventKind.STARTED, 0, users=10, host="http://target", objectives=["p95<10s"], workers=workers, seed=4)
    run.event(EventKind.ROSTER, 0, workers=list(range(workers))).event(EventKind.RAMP_DONE, 2, users=10)
    incarnations = [IncarnationMaker(worker) for worker in range(workers)]
    late: list[Batch] = []
    for second in range(seconds):
        run.event(EventKind.USERS, second, users=second + 1, target_users=second + 1, workers=workers)
        run.usage(second, Usage(service="target", container="a", cpu_cores=second / 4, cpu_limit=2.0, mem_bytes=second))
        for incarnation in incarnations:
            if incarnation.worker == 2 and second < 3:
                continue
            batch = incarnation.batch(varied(per_second, second, second + 1, seed=second * 10 + incarnation.worker))
            if incarnation.worker == 1:
                late.append(batch)
            else:
                run.add(batch)
    for batch in late:
        run.add(batch)
    total = sum(incarnation.produced for incarnation in incarnations)
    run.stopped(seconds, requests=total)
    for incarnation in incarnations:
        run.add(incarnation.batch(at_s=seconds + 0.2, final=True))
    return run
