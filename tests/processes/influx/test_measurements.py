"""docs/reference/measurements.md cannot drift from what is written."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.capacity.influx_points import study_lines
from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.event import EventKind
from loadstone.domain.usage_tick import Balance, Usage
from loadstone.influx.encode import request_lines
from loadstone.influx.encode_summary import summary_lines
from loadstone.influx.ledger import IngestLag, SharedLedger, WriteReceipt
from loadstone.influx.point_stream import PointStream, replay_points
from loadstone.stream.keys import SAMPLES, WRITERS
from support.line_protocol import parse_line
from support.run_maker import IncarnationMaker, RunMaker, samples, write_journal
from support.studies import BEST, QUOTA, RATE_STUDY, settings_study, trial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from loadstone.domain.batch import Batch
    from support.redis_server import RedisServer

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "measurements.md"
TYPES = {float: "float", int: "int", str: "string", bool: "bool"}
Columns = dict[str, dict[tuple[str, str], str]]


def documented() -> Columns:
    """Measurement to (kind, name) to type, as the page has it."""
    found: Columns = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title = re.match(r"`(\w+)`\n", section)
        if title is None:
            continue
        rows = re.findall(r"^\| (tag|field) \| `(\w+)` \| (\w*) ?\|", section, flags=re.MULTILINE)
        found[title[1]] = {(kind, name): type_ for kind, name, type_ in rows}
        if "| field | all of `rollup` |" in section:
            fields = {key: type_ for key, type_ in found["rollup"].items() if key[0] == "field"}
            found[title[1]] |= fields
    return found


def written(lines: Iterable[str]) -> Columns:
    """The same, as the lines have it."""
    found: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for line in lines:
        key, fields = parse_line(line.encode())
        found[key.measurement] |= {("tag", name): "" for name, _ in key.tags}
        found[key.measurement] |= {("field", name): TYPES[type(value)] for name, value in fields.items()}
    return dict(found)


def rich_run(folder: Path, client: Redis) -> list[str]:
    """The lines of a run that has everything."""
    objectives = ["p95<1ms", "rps>=1"]
    target = {"name": "iris", "version": "3", "alias": "champion"}
    run = RunMaker("r").started(0, objectives=objectives, target=target)
    worker = IncarnationMaker()
    full: dict[str, Any] = {"cpu_limit": 1.0, "mem_limit": 9, "throttled_pct": 1.0, "rx_bps": 1.0, "tx_bps": 2.0}
    host = {"host_busy_pct": 50.0, "host_stolen_pct": 0.5, "host_waiting_pct": 9.0}
    for second in range(12):
        run.event(EventKind.USERS, second + 0.1, users=5, target_users=5, workers=1)
        used = Usage(service="target", container="t", cpu_cores=0.5, mem_bytes=5, **full)
        balance = Balance(service="target", queue=1, retries=2, redispatches=3, up=2)
        run.usage(second + 0.2, used, balances=(balance,))
        broken = {"error": "HTTPError('x')", "duration_us": 9000} if second == 5 else {}
        taken = samples(20, second, second + 0.9, ttfb_us=500, **broken)
        taken[0] = replace(taken[0], late_us=500)
        arrivals = ArrivalCounts(second + 1, second + 1, 0)
        run.add(batch := worker.batch(taken, at_s=second + 1, arrivals=arrivals, **host))
    run.add(worker.batch([], at_s=13, final=True)).stopped(13, requests=240)
    archived = RunFolder(folder / "r").create()
    write_journal(archived.journal, run.entries)
    points = PointStream("r")
    lines = list(itertools.chain.from_iterable(replay_points(points, run.entries)))
    lines += itertools.chain.from_iterable(points.finish(lambda: run.entries))
    lines += request_lines(batch, batch.names)
    lines += request_lines(failed := IncarnationMaker().batch(samples(1, 0, 1, error="x")), failed.names)
    lines += ingest_lag(client, batch)
    lines += summary_lines(close_run(archived, now_ns=None).record)
    lines += study_lines(settings_study(trials=(trial(1, BEST, 300, run="r", bottleneck=QUOTA),)), folder)
    return lines + study_lines(RATE_STUDY, folder)


def ingest_lag(client: Redis, batch: Batch) -> list[str]:
    """What a writer reports after it has written a batch."""
    lag = IngestLag(client, SharedLedger(client, WRITERS), "writer-1")
    lag.note([WriteReceipt(SAMPLES, "1-0", batch.run, batch, len(batch.columns), 0)])
    return lag.lines()


def test_every_measurement_tag_and_field_that_is_written_is_documented_with_its_type_and_none_more(
    tmp_path: Path, valkey: RedisServer
):
    assert written(rich_run(tmp_path, valkey.client())) == documented()
