"""Page data of a closed run, read from its folder."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.charts.binned import Binned, step_for
from loadstone.charts.catalogue import (
    LATENCY_PERCENTS,
    MARKED,
    OTHER_NAMES,
    event_name,
    event_words,
    label_of,
    own_labels,
)
from loadstone.charts.usage_series import read_usage_series
from loadstone.domain.event import EventKind, payload_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadstone.archive.folder import RunFolder

    Values = list[float | None]
    Charts = dict[str, dict[str, Any]]

__all__ = ["archive_data"]

_NS: Final = 1_000_000_000
_MOST_ERRORS: Final = 100
_MOST_EVENTS: Final = 500
_OK_WORDS: Final = {True: "held", False: "missed", None: "not measured"}
_IDENTITY: Final = (
    *("host", "users", "spawn_rate", "run_time_s", "steady_state_s", "warmup_s", "stop_timeout_s", "workers", "seed"),
    *("tags", "exclude_tags", "limits", "target"),
)


def archive_data(folder: RunFolder, run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a report of this run shows; ``run`` is its run.json."""
    begin, bins, step = _extent(folder, run)
    events = list(_events(folder, begin))
    names = sorted(run["summary"]["run"]["names"], key=lambda row: (-row["requests"], row["method"], row["name"]))
    return {
        "run": run["id"],
        "t": [at * step for at in range(bins)],
        "step_s": step,
        "begin": begin,
        "charts": _charts(folder, names, events, begin, bins, step),
        "events": [{"t": at, "kind": kind, "text": text} for at, kind, text in _marked(events)],
        "state": {key: run[key] for key in ("verdict", "exit_code", "reasons", "notices")},
        "started_at": run["started_at"],
        "window": _window(run, begin),
        "tiles": _tiles(run),
        "tables": _tables(folder, run, names, events),
        "identity": _identity(run),
    }


def _extent(folder: RunFolder, run: Mapping[str, Any]) -> tuple[int, int, int]:
    """The first second, and how many bins of how many seconds follow it; every sample is in one."""
    seconds = pq.read_table(folder.rollups, columns=["second"])["second"].cast(pa.int64()).to_numpy() // 1000
    begin, end = _second(run["started_at"]), ceil(_moment(run["ended_at"])) - 1
    if len(seconds):
        begin, end = min(begin, int(seconds[0])), max(end, int(seconds[-1]))
    end = max(begin, end)
    step = step_for(end - begin + 1)
    return begin, (end - begin) // step + 1, step


def _second(text: str | None) -> int:
    return int(_moment(text))


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _events(folder: RunFolder, begin: int) -> Iterator[tuple[int, EventKind, dict[str, Any]]]:
    """Second since the first one, kind and data of every event."""
    with folder.events.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            yield event["at_ns"] // _NS - begin, EventKind(event["kind"]), event["data"]


def _marked(events: Sequence[tuple[int, EventKind, dict[str, Any]]]) -> list[tuple[int, str, str]]:
    marked = [
        (at, event_name(kind), event_words(payload_of(kind, data))) for at, kind, data in events if kind in MARKED
    ]
    return sorted(marked, key=lambda event: event[0])[:_MOST_EVENTS]


def _charts(
    folder: RunFolder, names: Sequence[Mapping[str, Any]], events: Any, begin: int, bins: int, step: int
) -> Charts:
    keys = [(row["method"], row["name"]) for row in names]
    own = own_labels(keys)
    groups = {key: min(at, len(own)) for at, key in enumerate(keys)}
    extent = {"begin": begin, "bins": bins, "step": step}
    binned = Binned(groups, **extent).read(folder.rollups)
    labels = [*own.values(), *([OTHER_NAMES] if len(own) < len(keys) else [])]
    return {
        "users": _users(events, bins, step),
        **_totals(binned),
        "names_rate": {label: _rates(binned, 1 + at, "n") for at, label in enumerate(labels)},
        "names_p95": {label: binned.percentiles_ms(1 + at, (95.0,))[0] for at, label in enumerate(labels)},
        "heat": {"counts": binned.heat()},
        **read_usage_series(folder.usage, **extent),
    }


def _users(events: Any, bins: int, step: int) -> dict[str, Values]:
    """The last word of each bin, and of the bin before where a bin has none."""
    said: dict[int, dict[str, Any]] = {at // step: data for at, kind, data in events if kind is EventKind.USERS}
    series: dict[str, Values] = {"users": [], "wanted": []}
    newest: Mapping[str, Any] = {}
    for at in range(bins):
        newest = said.get(at, newest)
        series["users"].append(newest.get("users"))
        series["wanted"].append(newest.get("target_users"))
    return series


def _totals(binned: Binned) -> Charts:
    n, err = (binned.sums[name][0].tolist() for name in ("n", "err"))
    latency = dict(zip(LATENCY_PERCENTS, binned.percentiles_ms(0, [*LATENCY_PERCENTS.values()]), strict=True))
    highest = [us / 1000 if count else None for us, count in zip(binned.high_us[0].tolist(), n, strict=True)]
    return {
        "rate": {"requests": _rates(binned, 0, "n"), "failures": _rates(binned, 0, "err")},
        "latency": {**latency, "max": highest},
        "failures": {"failed": [round(100 * e / count, 4) if count else None for e, count in zip(err, n, strict=True)]},
    }


def _rates(binned: Binned, row: int, name: str) -> Values:
    return [round(value / binned.step, 3) for value in binned.sums[name][row].tolist()]


def _window(run: Mapping[str, Any], begin: int) -> dict[str, Any]:
    window = run["window"]
    edges = {key: window[f"{key}_ns"] / _NS - begin for key in ("start", "end")}
    return {**edges, "opened": window["opened"], "seconds": window["seconds"]}


def _tiles(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    part = run["summary"]["window" if run["window"]["opened"] else "run"]["total"]
    wanted = (("requests", "count"), ("rps", "number"), ("failures_pct", "percent"))
    titles = {"requests": "requests", "rps": "requests/s", "failures_pct": "failed"}
    tiles = [{"title": titles[key], "kind": kind, "value": part[key]} for key, kind in wanted]
    tiles += [{"title": f"{p} ms", "kind": "number", "value": part[f"{p}_ms"]} for p in ("p50", "p95", "p99")]
    return [*tiles, {"title": "users", "kind": "count", "value": run["users_peak"]}]


def _tables(
    folder: RunFolder, run: Mapping[str, Any], names: Sequence[Mapping[str, Any]], events: Any
) -> dict[str, Any]:
    part = run["summary"]["run"]
    total = [] if not part["names"] else [_name_row("all requests", part["total"])]
    return {
        "objectives": [
            [each["text"], each["value"], each["unit"], _OK_WORDS[each["ok"]], each["reason"]]
            for each in run["objectives"]
        ],
        "names": [*total, *(_name_row(label_of(row["method"], row["name"]), row) for row in names)],
        "errors": _errors(folder),
        "usage": [_usage_row(name, usage) for name, usage in run["usage"].items()],
        "workers": _workers(run),
        "ledger": _ledger(run),
        "events": [list(event) for event in _marked(events)],
    }


def _name_row(label: str, row: Mapping[str, Any]) -> list[Any]:
    keys = ("requests", "failures", "failures_pct", "rps", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    return [label, *(row[key] for key in keys)]


def _errors(folder: RunFolder) -> list[list[Any]]:
    """The most frequent ones; all of them are in failures.csv."""
    with folder.failures_csv.open(newline="", encoding="utf-8") as file:
        rows: list[list[Any]] = [
            [label_of(row["Method"], row["Name"]), row["Error"], int(row["Occurrences"]), *_seen(row)]
            for row in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:_MOST_ERRORS]


def _seen(row: Mapping[str, str]) -> list[str]:
    return [row[key].partition("T")[2].removesuffix("Z") for key in ("First Seen", "Last Seen")]


def _usage_row(name: str, usage: Mapping[str, Any]) -> list[Any]:
    keys = ("cpu_cores", "cpu_cores_max", "cpu_limit", "throttled_pct", "mem_bytes", "mem_limit", "oom")
    return [name, *(usage[key] for key in keys)]


def _workers(run: Mapping[str, Any]) -> list[list[Any]]:
    health = {worker["worker"]: worker for worker in run["worker_health"]}
    return [_worker_row(incarnation, health.get(incarnation["worker"], {})) for incarnation in run["boots"]]


def _worker_row(incarnation: Mapping[str, Any], health: Mapping[str, Any]) -> list[Any]:
    state = "ended" if incarnation["final"] else "lost" if incarnation["lost_at"] else "silent"
    throttled_us = health.get("throttled_us")
    return [
        str(incarnation["worker"]),
        state,
        *(health.get(key) for key in ("cpu_pct", "lag_p99_ms")),
        None if throttled_us is None else throttled_us / 1000,
        health.get("clock_offset_ms"),
        *(incarnation[key] for key in ("produced", "stored", "dropped", "unknown")),
    ]


def _ledger(run: Mapping[str, Any]) -> list[list[Any]]:
    archive = run["ledgers"]["archive"]
    numbers = [archive[key] for key in ("produced", "stored", "dropped", "unknown")]
    rows: list[list[Any]] = [["archive", *numbers, "yes" if archive["balances"] else "no"]]
    influx = run["ledgers"].get("influx")
    return [*rows, ["InfluxDB", None, influx.get("stored"), None, None, _influx_words(influx)]] if influx else rows


def _influx_words(influx: Mapping[str, Any]) -> str:
    return f"{influx.get('rejected', 0)} rejected, {influx.get('pending', 0)} pending"


def _identity(run: Mapping[str, Any]) -> list[list[str]]:
    scenario = run["scenario"] if isinstance(run["scenario"], dict) else {}
    pairs = [("id", run["id"]), ("started", run["started_at"]), ("ended", run["ended_at"])]
    pairs += [(f"scenario {key.replace('_', ' ')}", value) for key, value in scenario.items()]
    pairs += [
        (key.replace("_s", " (s)") if key.endswith("_s") else key.replace("_", " "), run[key]) for key in _IDENTITY
    ]
    pairs += [(f"version of {name}", text) for name, text in (run["versions"] or {}).items()]
    return [[name, _flat_text(value)] for name, value in pairs if value not in (None, "", [], {})]


def _flat_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
