"""run.json: what a run was, how it went and what came of it. docs/reference/run.schema.json is its schema."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import json

from loadstone.archive.finalize.first_pass import iso
from loadstone.domain.objective import ObjectiveResult
from loadstone.domain.rollup import merged
from loadstone.domain.verdict import Verdict
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.domain.event import Started
    from loadstone.domain.facts import RunFacts
    from loadstone.domain.ledger import IncarnationLedger
    from loadstone.domain.rollup import Rollup

__all__ = ["FORMAT_VERSION", "Closing", "run_document", "verdict_of"]

FORMAT_VERSION: Final = 1
_PERCENTS: Final[Mapping[str, float]] = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}
_IDENTITY: Final = (
    "scenario",
    "host",
    "users",
    "spawn_rate",
    "run_time_s",
    "steady_state_s",
    "warmup_s",
    "stop_timeout_s",
    "workers",
    "seed",
    "tags",
    "exclude_tags",
    "target",
    "limits",
    "launch",
    "versions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Everything that run.json is made of. ``totals`` and ``facts`` are of the whole run and of its window."""

    run: str
    first_pass: FirstPass
    facts: RunFacts
    verdict: Verdict
    totals: Mapping[tuple[str, str], Rollup]
    closed_at_ns: int
    bound_ns: int
    influx: Mapping[str, Any] | None


def run_document(closing: Closing) -> dict[str, Any]:
    """The content of run.json."""
    state, total = closing.first_pass.state, merged(closing.totals.values())
    started_ns, ended_ns = run_times(closing.first_pass)
    return {
        "format": FORMAT_VERSION,
        "id": closing.run,
        "started_at": iso(started_ns) if started_ns else None,
        "ended_at": iso(ended_ns) if ended_ns else None,
        "closed_at": iso(closing.closed_at_ns),
        "window": _window(closing.facts),
        **_identity(state.lifecycle.identity),
        "users_peak": state.lifecycle.users_peak,
        "requests": total.n,
        "failures": total.err,
        "aborted": closing.facts.aborted,
        "summary": _summary(closing, (ended_ns - started_ns) / 1e9),
        "usage": {name: asdict(usage) for name, usage in closing.facts.usage.items()},
        "worker_health": [asdict(worker) for worker in closing.facts.workers],
        "locust": state.lifecycle.locust_totals,
        "ledgers": _ledgers(closing),
        "boots": [_incarnation(ledger, closing.bound_ns) for ledger in state.ledgers()],
        "lost_workers": list(closing.facts.lost_workers),
        **_verdict(closing.verdict),
    }


def _identity(started: Started) -> dict[str, Any]:
    values = json.decode(json.encode(started))
    return {key: values[key] for key in _IDENTITY}


def run_times(first_pass: FirstPass) -> tuple[int, int]:
    """When the run started and ended (ns): as its master said, else by its samples, else by what it left; 0 if none."""
    lifecycle = first_pass.state.lifecycle
    started_ns = lifecycle.started_ns or first_pass.first_start_ns or first_pass.state.newest_ns
    ended_ns = lifecycle.stopped_ns or first_pass.last_end_ns or first_pass.state.newest_ns
    return started_ns, max(started_ns, ended_ns)


def verdict_of(document: Mapping[str, Any]) -> Verdict:
    """The verdict that a run.json holds."""
    return Verdict(
        word=document["verdict"],
        exit_code=ExitCode(document["exit_code"]),
        reasons=tuple(document["reasons"]),
        notices=tuple(document["notices"]),
        objectives=tuple(ObjectiveResult(**result) for result in document["objectives"]),
    )


def figures(rollup: Rollup, seconds: float) -> dict[str, Any]:
    """What a rollup comes to over so many seconds; latencies in ms, None without a sample."""
    return {
        "requests": rollup.n,
        "failures": rollup.err,
        "failures_pct": 100 * rollup.err_ratio,
        "rps": rollup.n / seconds if seconds > 0 else None,
        "bytes": rollup.bytes,
        **_latencies_ms(rollup),
    }


def _latencies_ms(rollup: Rollup) -> dict[str, float | None]:
    names = ("mean_ms", "min_ms", "max_ms", *_PERCENTS)
    if not rollup.n:
        return dict.fromkeys(names)
    values = (rollup.mean_us, rollup.rt_min_us, rollup.rt_max_us, *rollup.percentiles_us(_PERCENTS.values()))
    return {name: value / 1000 for name, value in zip(names, values, strict=True)}


def _summary(closing: Closing, run_s: float) -> dict[str, Any]:
    window = closing.facts.window
    return {
        "window": _part(closing.facts.names, window.seconds),
        "run": _part(closing.totals, run_s),
    }


def _part(names: Mapping[tuple[str, str], Rollup], seconds: float) -> dict[str, Any]:
    return {
        "total": figures(merged(names.values()), seconds),
        "names": [
            {"method": method, "name": name, **figures(names[method, name], seconds)} for method, name in sorted(names)
        ],
    }


def _window(facts: RunFacts) -> dict[str, Any]:
    window = facts.window
    return {
        "start": iso(window.start_ns),
        "end": iso(window.end_ns),
        "start_ns": window.start_ns,
        "end_ns": window.end_ns,
        "seconds": window.seconds,
        "opened": window.opened,
    }


def _ledgers(closing: Closing) -> dict[str, Any]:
    ledger = closing.facts.ledger
    archive = {
        "produced": ledger.produced,
        "stored": ledger.stored,
        "dropped": ledger.dropped,
        "unknown": ledger.unknown,
        "balances": ledger.balances,
    }
    return {"archive": archive, **({"influx": dict(closing.influx)} if closing.influx else {})}


def _incarnation(ledger: IncarnationLedger, bound_ns: int) -> dict[str, Any]:
    return {
        "boot": ledger.incarnation,
        "worker": ledger.worker,
        "produced": ledger.produced,
        "stored": ledger.stored,
        "dropped": ledger.dropped,
        "unknown": ledger.unknown(bound_ns),
        "aborted": ledger.aborted,
        "final": ledger.final,
        "first_sent_at": iso(ledger.first_sent_ns) if ledger.first_sent_ns else None,
        "last_sent_at": iso(ledger.last_sent_ns) if ledger.first_sent_ns else None,
        "lost_at": iso(ledger.lost_at_ns) if ledger.is_lost and ledger.lost_at_ns is not None else None,
        "peak_rps": ledger.peak_rate,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "objectives": [asdict(result) for result in verdict.objectives],
        "verdict": verdict.word,
        "exit_code": int(verdict.exit_code),
        "reasons": list(verdict.reasons),
        "notices": list(verdict.notices),
    }
