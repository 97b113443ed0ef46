"""Forged entries: what no producer sends, by a name that says what is wrong with it."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.domain.batch import COLUMNS_OF, encode_batch
from loadstone.domain.limits import LAST_NS
from support.run_maker import SECOND, START, IncarnationMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FORGED",
    "batch_blob",
    "columns_blob",
    "envelope",
    "event_blob",
    "forged",
    "open_blob",
    "raw_batch",
    "usage_blob",
]

_BATCH: Final = encode_batch(IncarnationMaker(worker=7, incarnation="forged").batch(samples(5, 0, 1)))
_LENGTH: Final = struct.unpack_from("<I", _BATCH, 4)[0]
_COLUMNS: Final = _BATCH[8 + _LENGTH :]
_HUGE: Final = {"2^53": 2**53, "2^63": 2**63, "2^64": 2**64, "10^400": 10**400, "1e308": 1e308}


def batch_blob(columns: bytes | None = None, **changes: Any) -> bytes:
    """A batch of five samples with these keys of its header changed."""
    return raw_batch(_header(**changes), columns)


def _header(**changes: Any) -> bytes:
    return json.dumps(json.loads(_BATCH[8 : 8 + _LENGTH]) | changes).encode()


def raw_batch(header: bytes, columns: bytes | None = None) -> bytes:
    """A batch with this text as its header."""
    return b"LSB1" + struct.pack("<I", len(header)) + header + (_COLUMNS if columns is None else columns)


def open_blob(late_us: Iterable[int], **changes: Any) -> bytes:
    """A batch of version 2, whose five samples are this late."""
    return batch_blob(_COLUMNS + np.array(late_us, "<i8").tobytes(), **({"v": 2} | changes))


def columns_blob(**changes: Any) -> bytes:
    """The columns of five samples, or of as many as are given for each column."""
    offset, found = 0, []
    n = max((len(values) for values in changes.values()), default=5)
    for name, dtype in COLUMNS_OF[1].items():
        known = np.frombuffer(_COLUMNS, dtype, 5, offset)
        offset += 5 * dtype.itemsize
        values = changes.get(name)
        found.append(np.resize(known, n) if values is None else np.array(values).astype(dtype))
    return b"".join(each.tobytes() for each in found)


def many_samples(**columns: Any) -> bytes:
    """A batch with as many samples as its columns have."""
    n = max(len(values) for values in columns.values())
    return batch_blob(columns_blob(**columns), n=n, produced=n)


def event_blob(kind: str, /, **data: Any) -> bytes:
    """An event with this data."""
    return envelope(kind, data)


def envelope(kind: str, data: Any, **changes: Any) -> bytes:
    """An event with these keys of its envelope changed."""
    known = {"run": "r", "kind": kind, "at_ns": START + SECOND, "source": "forged", "seq": 99, "data": data}
    return json.dumps(known | changes).encode()


def usage_blob(*rows: dict[str, Any], **changes: Any) -> bytes:
    """A usage tick; a row is complete with the keys that it lacks."""
    whole = {"service": "target", "container": "a", "cpu_cores": 1.0}
    tick = {"at_ns": START + SECOND, "source": "forged", "seq": 99, "rows": [whole | row for row in rows or ({},)]}
    return json.dumps(tick | changes).encode()


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def _deep(blob: bytes, depth: int) -> bytes:
    """A blob with very deep JSON where it says HERE, which Python could not build."""
    return blob.replace(b'"HERE"', b'{"a":' * depth + b"1" + b"}" * depth)


_BATCHES: Final[dict[str, Any]] = {
    "boot is a dict": lambda: batch_blob(boot={"a": 1}),
    "boot is empty": lambda: batch_blob(boot=""),
    "boot of 50 MB": lambda: batch_blob(boot="b" * 50_000_000),
    "boot with NUL and control characters": lambda: batch_blob(boot="a\x00\x01\x1b[2J\n"),
    "boot is a lone surrogate": lambda: batch_blob(boot="\ud800"),
    "run is another one": lambda: batch_blob(run="other"),
    "run is a list": lambda: batch_blob(run=["r"]),
    **{f"produced {name}": lambda value=value: batch_blob(produced=value) for name, value in _HUGE.items()},
    **{f"users of a worker {name}": lambda value=value: batch_blob(users=value) for name, value in _HUGE.items()},
    "users of a worker 10^15": lambda: batch_blob(users=10**15),
    "cpu_pct NaN": lambda: batch_blob(cpu_pct=float("nan")),
    "cpu_pct Infinity": lambda: batch_blob(cpu_pct=float("inf")),
    "cpu_pct -1e15": lambda: batch_blob(cpu_pct=-1e15),
    "clock offset 1e15": lambda: batch_blob(clock_offset_ms=1e15),
    "target offset -1e15": lambda: batch_blob(target_offset_ms=-1e15),
    "n negative": lambda: batch_blob(n=-5),
    "n more than there are": lambda: batch_blob(n=6),
    "n too large to allocate": lambda: batch_blob(n=2**53),
    "seq negative": lambda: batch_blob(seq=-1),
    "seq 2^60": lambda: batch_blob(seq=2**60),
    "seq 2^53": lambda: batch_blob(seq=2**53),
    "worker 2^31": lambda: batch_blob(worker=2**31),
    "worker 2^31 - 1": lambda: batch_blob(worker=2**31 - 1),
    "sent in 1970": lambda: batch_blob(sent_ns=0),
    "sent in 2261": lambda: batch_blob(sent_ns=LAST_NS),
    "sent after 2261": lambda: batch_blob(sent_ns=LAST_NS + 1),
    "throttled for 285 years": lambda: batch_blob(throttled_us=2**53),
    "throttled for a negative time": lambda: batch_blob(throttled_us=-(2**53)),
    "200,000 lags": lambda: batch_blob(loop_lag_us=list(range(200_000))),
    "lag 2^53": lambda: batch_blob(loop_lag_us=[2**53]),
    "stall in 2261": lambda: batch_blob(stalls=[[LAST_NS, 2**38 - 1, 0]]),
    "stall of 76 hours in 1970": lambda: batch_blob(stalls=[[0, 2**38 - 1, 2**38 - 1]]),
    "stall suspended for longer than it was": lambda: batch_blob(stalls=[[START, 5, 2**38 - 1]]),
    "20,000 stalls": lambda: batch_blob(stalls=[[START + at, 200_000, 0] for at in range(20_000)]),
    "30,000 requests cut off": lambda: batch_blob(cut=[["GET", "/", START, 5]] * 30_000, aborted=30_000),
    "5,000 names of requests cut off": lambda: batch_blob(
        cut=[["GET", f"/{at}", START, 5] for at in range(5_000)], aborted=5_000
    ),
    "cut in 1970 and 2261": lambda: batch_blob(cut=[["", "", 0, 0], ["GET", "/", LAST_NS, 2**38 - 1]]),
    "names are dicts": lambda: batch_blob(names=[[{"a": 1}, [1]]]),
    "name nested 5,000 deep": lambda: raw_batch(_deep(_header(names=[["GET", "HERE"]]), 5000)),
    "name nested 500 deep": lambda: raw_batch(_deep(_header(names=[["GET", "HERE"]]), 500)),
    "name of 1 MB": lambda: batch_blob(names=[["GET", "/" + "x" * 1_000_000]]),
    "method of 1 MB": lambda: batch_blob(names=[["G" * 1_000_000, "/"]]),
    "10 names of 1 MB": lambda: batch_blob(names=[["GET", f"/{at}" + "x" * 1_000_000] for at in range(10)]),
    "200,000 names": lambda: batch_blob(names=[["GET", f"/{at}"] for at in range(200_000)]),
    "name with NUL and escapes": lambda: batch_blob(names=[["GET\x00", "/\x1b]0;title\x07\u202e\r\n"]]),
    "name is a lone surrogate": lambda: raw_batch(
        json.dumps(json.loads(_BATCH[8 : 8 + _LENGTH]) | {"names": [["GET", "\ud800"]]}).encode()
    ),
    "name made to be slow to mask": lambda: batch_blob(names=[["GET", "?" + "token" * 200_000]]),
    "1,000 names made to be slow to mask": lambda: batch_blob(
        names=[["GET", f"?{at}" + "token" * 1000] for at in range(1000)]
    ),
    "no names": lambda: batch_blob(names=[]),
    "name twice in the table": lambda: batch_blob(names=[["GET", "/"]] * 3),
    "error of 50 MB": lambda: batch_blob(columns_blob(error=[0] * 5), errors=["e" * 50_000_000]),
    "errors are numbers": lambda: batch_blob(errors=[1, 2]),
    "200,000 errors": lambda: batch_blob(columns_blob(error=[9] * 5), errors=[f"e{at}" for at in range(200_000)]),
    "odd example of 10 MB": lambda: batch_blob(odd=1, odd_example="o" * 10_000_000),
    "duplicate keys": lambda: raw_batch(_BATCH[8 : 8 + _LENGTH - 1] + b',"seq":-1,"seq":0}'),
    "header is a list": lambda: raw_batch(b"[]"),
    "header is empty": lambda: raw_batch(b""),
    "header longer than the blob": lambda: b"LSB1" + struct.pack("<I", 2**32 - 1) + b"{}",
    "header nested 100,000 deep": lambda: raw_batch(b"[" * 100_000),
    "header is not UTF-8": lambda: raw_batch(_BATCH[8 : 8 + _LENGTH].replace(b"forged", b"\xff\xfe\xfd123"[:6])),
    "another version": lambda: batch_blob(v=3),
    "version 2 without its column": lambda: batch_blob(v=2),
    "version 1 with the column of version 2": lambda: open_blob([0] * 5, v=1),
    "lateness of 300,000 years": lambda: open_blob([2**63 - 1] * 5),
    "lateness below -1": lambda: open_blob([-(2**63)] * 5),
    "lateness of 76 hours in 1970": lambda: batch_blob(
        columns_blob(duration_us=[2**38 - 1] * 5, end_ns=range(5)) + np.full(5, 2**38 - 1, "<i8").tobytes(), v=2
    ),
    "lateness of requests without a duration": lambda: batch_blob(
        columns_blob(duration_us=[-1] * 5) + np.arange(5, dtype="<i8").tobytes(), v=2
    ),
    "arrivals negative": lambda: open_blob([0] * 5, arrivals=[-1, 0, 0]),
    "arrivals 10^12": lambda: open_blob([0] * 5, arrivals=[10**12] * 3),
    "arrivals without a lateness": lambda: batch_blob(arrivals=[7, 5, 2]),
    "arrivals that do not add up": lambda: open_blob([0] * 5, arrivals=[5, 10**12, 10**12]),
    "arrivals going backwards": lambda: [open_blob([0] * 5, arrivals=[10**12, 0, 10**12]), open_blob([0] * 5, seq=1)],
    "arrivals of three texts": lambda: open_blob([0] * 5, arrivals=["1", "2", "3"]),
    "arrivals are five": lambda: open_blob([0] * 5, arrivals=[1, 2, 3, 4, 5]),
    "columns are cut": lambda: batch_blob(_COLUMNS[:-1]),
    "columns go on": lambda: batch_blob(_COLUMNS + b"\x00"),
    "a second in 1970": lambda: batch_blob(columns_blob(end_ns=[0, *range(START, START + 4)])),
    "a second in 2261": lambda: batch_blob(columns_blob(end_ns=[*range(START, START + 4), LAST_NS])),
    "ends that are not sorted": lambda: batch_blob(
        columns_blob(end_ns=[START + at * SECOND for at in (3, 1, 2, 0, 4)])
    ),
    "equal ends": lambda: batch_blob(columns_blob(end_ns=[START] * 5)),
    "a duration of 300,000 years": lambda: batch_blob(columns_blob(duration_us=[2**63 - 1] * 5)),
    "a duration below -1": lambda: batch_blob(columns_blob(duration_us=[-(2**63)] * 5)),
    "durations of 76 hours in 1970": lambda: batch_blob(columns_blob(duration_us=[2**38 - 1] * 5, end_ns=range(5))),
    "a time to first byte of -2^31": lambda: batch_blob(columns_blob(ttfb_us=[-(2**31)] * 5)),
    "2^63 bytes": lambda: batch_blob(columns_blob(bytes=[2**63 - 1] * 5)),
    "-2^63 bytes": lambda: batch_blob(columns_blob(bytes=[-(2**63)] * 5)),
    "status -2^31": lambda: batch_blob(columns_blob(status=[-(2**31)] * 5)),
    "a name outside the table": lambda: batch_blob(columns_blob(name=[1] * 5)),
    "an error outside the table": lambda: batch_blob(columns_blob(error=[0] * 5)),
    "an error below -1": lambda: batch_blob(columns_blob(error=[-2] * 5)),
    "100,000 samples, each in its own second": lambda: many_samples(
        end_ns=START + np.arange(100_000, dtype=np.int64) * SECOND
    ),
    "1,000 samples, a minute apart": lambda: many_samples(end_ns=START + np.arange(1000) * 60 * SECOND),
    "200 samples, a year apart": lambda: many_samples(end_ns=np.arange(200) * 365 * 86_400 * SECOND),
    "produced going backwards": lambda: [batch_blob(produced=10**12), batch_blob(seq=1, produced=0)],
    "dropped more than was produced": lambda: batch_blob(dropped=10**12, final=True),
    "seq and boot twice with other samples": lambda: [batch_blob(), batch_blob(columns_blob(duration_us=[7] * 5))],
    "another batch after the final one": lambda: [batch_blob(final=True), batch_blob(seq=1)],
    "batches in reverse": lambda: [batch_blob(seq=seq, sent_ns=START + seq) for seq in range(9, -1, -1)],
    "seq jumps by 2^53": lambda: [batch_blob(seq=seq) for seq in (0, 2**53, 1, 2**53 - 1)],
    "one boot on two workers": lambda: [batch_blob(worker=1), batch_blob(worker=2, seq=1)],
    "sent going backwards": lambda: [batch_blob(sent_ns=LAST_NS), batch_blob(seq=1, sent_ns=0)],
}
_EVENTS: Final[dict[str, Any]] = {
    "event is a list": lambda: b"[]",
    "event nested 100,000 deep": lambda: b'{"run":' * 100_000,
    "event without a run": lambda: b'{"kind":"users","at_ns":1,"source":"m","seq":1}',
    "event of an unknown kind": lambda: envelope("exploded", {}),
    "event of another run": lambda: envelope("stopped", {}, run="other"),
    "event with data that is a list": lambda: envelope("users", []),
    "event in 2261": lambda: envelope("users", {"users": 5}, at_ns=LAST_NS),
    "event after 2261": lambda: envelope("users", {}, at_ns=2**63),
    "event with seq 2^60": lambda: envelope("users", {}, seq=2**60),
    "event with a source of 10 MB": lambda: envelope("users", {}, source="s" * 10_000_000),
    "started in 1970": lambda: envelope("started", {}, at_ns=0),
    "started in 2261": lambda: envelope("started", {}, at_ns=LAST_NS),
    "started twice with other values": lambda: event_blob("started", users=10**6, host="http://other", warmup_s=3600.0),
    "users 1e308": lambda: event_blob("users", users=1e308),
    "users NaN": lambda: event_blob("users", users=float("nan")),
    "users -5": lambda: event_blob("users", users=-5, target_users=-5, workers=-5),
    "users 10^15": lambda: event_blob("users", users=10**15, target_users=10**15, workers=10**15),
    "seed 10^400": lambda: event_blob("started", seed=10**400),
    "seed 2^64": lambda: event_blob("started", seed=2**64),
    "seed 2^70": lambda: event_blob("started", seed=2**70),
    "run time 1e15": lambda: event_blob("started", run_time_s=1e15),
    "run time -1e15": lambda: event_blob("started", run_time_s=-1e15, steady_state_s=-1e15),
    "stop timeout 1e15": lambda: event_blob("started", stop_timeout_s=1e15),
    "stop timeout -1e15": lambda: event_blob("started", stop_timeout_s=-1e15),
    "warm-up of a year": lambda: event_blob("started", warmup_s=365 * 86_400.0),
    "warm-up of 90 days": lambda: event_blob("started", warmup_s=90 * 86_400.0),
    "objectives that do not parse": lambda: event_blob("started", objectives=["p95<", "\x00", "", "p95<NaN", "<<<"]),
    "objectives with absurd limits": lambda: event_blob(
        "started", objectives=["p95<1e400s", "rps>=1e308", "failures<=99999999999999999999%", "p99.99999999999<1ns"]
    ),
    "2,000 objectives": lambda: event_blob("started", objectives=["p95<500ms"] * 2000),
    "objective of 5 MB": lambda: event_blob("started", objectives=["p95<" + "9" * 5_000_000]),
    "target nested 49 deep": lambda: event_blob("started", target=_nested(49), limits=_nested(49)),
    "target nested 60 deep": lambda: event_blob("started", target=_nested(60)),
    "target nested 5,000 deep": lambda: _deep(event_blob("started", target={"a": "HERE"}), 5000),
    "target with 10^300, 2^64 and 1e308": lambda: event_blob(
        "started", target={"a": 10**300, "b": 2**64, "c": 1e308, "d": -(2**64)}, limits={"host_cores": 10**300}
    ),
    "cores of the host are a text": lambda: event_blob("started", limits={"host_cores": "lots", "cpus": [{}]}),
    "cores of the host -1": lambda: event_blob("started", limits={"host_cores": -1}),
    "target of 9 MB": lambda: event_blob("started", target={"a": "t" * 9_000_000}),
    "10^5 versions": lambda: event_blob("started", versions={f"v{at}": "1" for at in range(100_000)}),
    "host of 5 MB": lambda: event_blob("started", host="http://" + "h" * 5_000_000),
    "launch is a dict": lambda: event_blob("started", launch={"a": 1}),
    "exit from nobody": lambda: event_blob("started", exit_from="nobody"),
    "roster of 200,000 workers": lambda: event_blob("roster", workers=list(range(200_000))),
    "roster with worker 2^31 - 1": lambda: event_blob("roster", workers=[2**31 - 1, -1]),
    "worker lost that never was": lambda: event_blob("worker_lost", worker=2**31 - 1, users=-(2**53)),
    "worker lost in 1970": lambda: envelope("worker_lost", {"worker": 0}, at_ns=0),
    "worker lost in 2261": lambda: envelope("worker_lost", {"worker": 7}, at_ns=LAST_NS),
    "worker joined in 2261": lambda: envelope("worker_joined", {"worker": 8}, at_ns=LAST_NS),
    "stopped before it started": lambda: envelope("stopped", {"requests": 5}, at_ns=START - 3600 * SECOND),
    "stopping in 1970": lambda: envelope("stopping", {}, at_ns=0),
    "stopping in 1971": lambda: envelope("stopping", {}, at_ns=365 * 86_400 * SECOND),
    "stopped in 2261": lambda: envelope("stopped", {}, at_ns=LAST_NS),
    "stopped with negative totals": lambda: event_blob("stopped", requests=-(2**53), failures=-(2**53), exceptions=-1),
    "stopped with 2^53 requests": lambda: event_blob("stopped", requests=2**53, failures=2**53, exceptions=2**53),
    "ramp done in 1970": lambda: envelope("ramp_done", {}, at_ns=0),
    "ramp done in 2261": lambda: envelope("ramp_done", {"users": -(2**53)}, at_ns=LAST_NS),
    "ended by 5 MB": lambda: event_blob("stopping", ended_by="e" * 5_000_000),
    "exception with a count of -2^53": lambda: event_blob("exception", message="m", count=-(2**53)),
    "exception with ages of -2^53": lambda: event_blob("exception", message="m", ages=[[-(2**53), 5], [2**53, -5]]),
    "exception with 200,000 ages": lambda: event_blob(
        "exception", message="m", ages=[[at, 1] for at in range(200_000)]
    ),
    "exception with a message of 9 MB": lambda: event_blob("exception", message="m" * 9_000_000),
    "exception with a message of 7 MB": lambda: event_blob("exception", message="m" * 7_000_000),
    "exception with NUL and escapes": lambda: event_blob(
        "exception", message="\x00\x1b[31m", traceback="\x00", node="\n"
    ),
    "crashed part of 5 MB": lambda: event_blob("crashed", part="p" * 5_000_000, code=-(2**53)),
    "exited with code 2^53": lambda: event_blob("exited", code=2**53, failures=-1, exceptions=-(2**53)),
    "target exited with code -2^53": lambda: event_blob("target_exited", code=-(2**53)),
    "names capped at -1": lambda: event_blob("names_capped", limit=-1, names=[]),
    "names capped at 10^6 names": lambda: event_blob(
        "names_capped", limit=5, names=[["GET", f"/{at}"] for at in range(20_000)]
    ),
    "names capped by an old writer at nothing": lambda: envelope("names_capped", {"names": []}, source="influx-names"),
    "1,000 stages": lambda: [envelope("stage", {"users": at, "before": 5}, seq=at) for at in range(1000)],
    "stopped, lost, joined and started in reverse": lambda: [
        envelope(kind, {}, seq=at, at_ns=START + SECOND - at)
        for at, kind in enumerate(("exited", "stopped", "stopping", "worker_lost", "worker_joined", "started"))
    ],
    "100 workers lost": lambda: [envelope("worker_lost", {"worker": at}, seq=at) for at in range(100)],
    "2,000 exceptions of their own": lambda: [
        envelope("exception", {"message": f"m{at}"}, seq=at) for at in range(2000)
    ],
    "stage with 2^53 users": lambda: event_blob("stage", users=2**53, before=-(2**53)),
}
_USAGE: Final[dict[str, Any]] = {
    "usage is a list": lambda: b"[]",
    "usage nested 100,000 deep": lambda: b"[" * 100_000,
    "usage without rows": lambda: usage_blob(rows=[]),
    "usage with rows that are a dict": lambda: usage_blob(rows={}),
    "usage of 10^5 containers": lambda: usage_blob(*({"container": f"c{at}"} for at in range(100_000))),
    "usage of a container with a name of 10 MB": lambda: usage_blob({"container": "c" * 10_000_000}),
    "usage of a service with control characters": lambda: usage_blob({"service": "\x00\x1b[2J", "container": "\n"}),
    "usage in 1970": lambda: usage_blob(at_ns=0),
    "usage in 2261": lambda: usage_blob(at_ns=LAST_NS),
    "usage of NaN cores": lambda: usage_blob({"cpu_cores": float("nan")}),
    "usage of 1e308 cores": lambda: usage_blob({"cpu_cores": 1e308}),
    "usage of 1e15 cores": lambda: usage_blob({"cpu_cores": 1e15, "cpu_limit": -1e15, "throttled_pct": 1e15}),
    "usage of -1e15 cores": lambda: usage_blob({"cpu_cores": -1e15, "cpu_limit": 1e-300}),
    "usage of 2^63 bytes": lambda: usage_blob({"mem_bytes": 2**63}),
    "usage of 2^63 - 1 bytes, thrice": lambda: usage_blob(
        *({"container": name, "mem_bytes": 2**63 - 1, "mem_limit": 2**63 - 1} for name in "abc")
    ),
    "usage of -2^63 bytes": lambda: usage_blob(
        *({"container": name, "mem_bytes": -(2**63), "mem_limit": -(2**63)} for name in "abc")
    ),
    "usage with 2^53 kills": lambda: usage_blob(*({"container": f"c{at}", "oom": 2**53} for at in range(2000))),
    "usage with -2^53 kills": lambda: usage_blob({"oom": -(2**53)}),
    "usage with a queue of -2^53": lambda: usage_blob(
        balances=[{"service": "target", "queue": -(2**53), "retries": 2**53, "redispatches": 2**53, "up": -1}]
    ),
    "usage of 10^5 balancers": lambda: usage_blob(
        balances=[{"service": f"s{at}", "queue": 0, "retries": 0, "redispatches": 0, "up": 0} for at in range(100_000)]
    ),
}

FORGED: Final[dict[str, Any]] = {
    **{name: (EntryKind.SAMPLES, make) for name, make in _BATCHES.items()},
    **{name: (EntryKind.EVENTS, make) for name, make in _EVENTS.items()},
    **{name: (EntryKind.USAGE, make) for name, make in _USAGE.items()},
}
"""Kind and maker of the blob, or of several, of every forged entry, by its name."""


def forged(name: str) -> list[Entry]:
    """The forged entries of this name."""
    kind, make = FORGED[name]
    made = make()
    return [Entry(kind, "1790000000500-0", blob) for blob in (made if isinstance(made, list) else [made])]
