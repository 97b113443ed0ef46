"""The `RunRecord` of a run, made of what the two passes over its journal found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from loadstone.archive.run_record import (
    FORMAT_VERSION,
    ArchiveLedger,
    ArrivalsRecord,
    BalancerRecord,
    EndingRecord,
    Figures,
    IncarnationRecord,
    InFlightRecord,
    InfluxLedgerRecord,
    Latencies,
    Ledgers,
    LocustTotals,
    NameFigures,
    ObjectiveRecord,
    OmissionRecord,
    PartRecord,
    PauseRecord,
    RunRecord,
    ServiceRecord,
    Summary,
    WindowRecord,
    WorkerHealth,
)
from loadstone.domain.in_flight import figure_us, percentiles_us
from loadstone.domain.kept_pace import kept_pace_ms
from loadstone.domain.objective import ObjectiveResult
from loadstone.domain.rollup import Rollup, merged
from loadstone.domain.time import NS_PER_S, US_PER_MS, iso
from loadstone.domain.verdict import Verdict
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.archive.integrity import SalvageRecord
    from loadstone.domain.event import Started
    from loadstone.domain.facts import ArrivalFacts, QueueUse, RunFacts, Window
    from loadstone.domain.in_flight import InFlight
    from loadstone.domain.ledger import IncarnationLedger
    from loadstone.domain.pause import Pause
    from loadstone.domain.request_name import RequestName

__all__ = ["Closing", "run_record", "verdict_of"]

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
    "rate",
    "tags",
    "exclude_tags",
    "target",
    "limits",
    "launch",
    "versions",
)
"""Fields that come from the event `started`."""
_MOST_PAUSES: Final = 1000
_Kind = TypeVar("_Kind", bound=Figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Everything that run.json is made of: ``facts`` of the window, ``totals`` and ``arrivals`` of the whole run."""

    run: str
    first_pass: FirstPass
    facts: RunFacts
    verdict: Verdict
    totals: Mapping[RequestName, Rollup]
    arrivals: ArrivalFacts | None
    closed_at_ns: int
    bound_ns: int
    influx: InfluxLedgerRecord | None
    salvage: SalvageRecord | None


def run_record(closing: Closing) -> RunRecord:
    """The content of run.json."""
    found, facts, total = closing.first_pass, closing.facts, merged(closing.totals.values())
    state, started_ns, ended_ns = found.state, found.started_ns, found.ended_ns
    totals = state.lifecycle.locust_totals
    return RunRecord(
        format=FORMAT_VERSION,
        id=closing.run,
        started_at=iso(started_ns) if started_ns else None,
        ended_at=iso(ended_ns) if ended_ns else None,
        closed_at=iso(closing.closed_at_ns),
        window=_window(facts.window),
        **_identity(state.lifecycle.identity),
        arrivals_spread=state.lifecycle.identity.arrivals,
        users_peak=state.lifecycle.users_peak,
        requests=total.n,
        failures=total.err,
        aborted=facts.aborted,
        in_flight=_in_flight(facts.target.in_flight),
        silences=_pauses(facts.target.silences, facts.window),
        lulls=_pauses(facts.target.lulls, facts.window),
        omission=_omission(facts),
        ending=_ending(facts),
        unreported=facts.unreported,
        lone_errors=facts.lone_errors,
        exceptions=facts.exceptions_of_run,
        exceptions_in_window=facts.exceptions,
        odd=facts.odd,
        odd_example=facts.odd_example,
        summary=Summary(
            window=_part(facts.names, facts.target.in_flight.names, facts.window.seconds, facts.arrivals),
            run=_part(closing.totals, {}, (ended_ns - started_ns) / NS_PER_S, closing.arrivals),
        ),
        usage=msgspec.convert(dict(facts.usage), dict[str, ServiceRecord], from_attributes=True),
        balancers={name: _balancer(use) for name, use in facts.queues.items()},
        worker_health=msgspec.convert(facts.workers, tuple[WorkerHealth, ...], from_attributes=True),
        locust=None if totals is None else msgspec.convert(totals, LocustTotals, from_attributes=True),
        ledgers=Ledgers(
            archive=msgspec.convert(facts.ledger, ArchiveLedger, from_attributes=True), influx=closing.influx
        ),
        scenario_exit_code=_exit_code(facts),
        incarnations=tuple(_incarnation(ledger, closing.bound_ns) for ledger in state.ledgers()),
        lost_workers=facts.lost_workers,
        objectives=msgspec.convert(closing.verdict.objectives, tuple[ObjectiveRecord, ...], from_attributes=True),
        verdict=closing.verdict.word,
        exit_code=msgspec.convert(int(closing.verdict.exit_code), Literal[0, 1, 3, 4, 130]),
        reasons=closing.verdict.reasons,
        notices=closing.verdict.notices,
        contents=found.contents,
        salvage=closing.salvage,
    )


def verdict_of(record: RunRecord) -> Verdict:
    """The verdict that a run.json holds."""
    return Verdict(
        word=record.verdict,
        exit_code=ExitCode(record.exit_code),
        reasons=record.reasons,
        notices=record.notices,
        objectives=msgspec.convert(record.objectives, tuple[ObjectiveResult, ...], from_attributes=True),
    )


def _balancer(use: QueueUse) -> BalancerRecord:
    return BalancerRecord(
        queue_mean=use.mean,
        queue_max=use.highest,
        retries=use.retries,
        redispatches=use.redispatches,
        requests=use.requests,
    )


def _exit_code(facts: RunFacts) -> int | None:
    """The master's exit code or, where that is 0, the first other one of a worker."""
    known = [each.code for each in facts.exits if each.code is not None]
    return next((code for code in known if code), 0 if known else None)


def _identity(started: Started) -> Mapping[str, Any]:
    return {field: getattr(started, field) for field in _IDENTITY}


def _part(
    names: Mapping[RequestName, Rollup],
    in_flight: Mapping[RequestName, Rollup],
    seconds: float,
    arrivals: ArrivalFacts | None,
) -> PartRecord:
    open_model = arrivals is not None
    return PartRecord(
        total=_figures(Figures, merged(names.values()), merged(in_flight.values()), seconds, open_model=open_model),
        names=tuple(
            _figures(
                NameFigures,
                names.get(name, Rollup()),
                in_flight.get(name, Rollup()),
                seconds,
                open_model=open_model,
                method=name.method,
                name=name.name,
            )
            for name in sorted({*names, *in_flight})
        ),
        arrivals=None if arrivals is None else msgspec.convert(arrivals, ArrivalsRecord, from_attributes=True),
    )


def _figures(
    kind: type[_Kind], rollup: Rollup, in_flight: Rollup, seconds: float, *, open_model: bool, **name: Any
) -> _Kind:
    return kind(
        **name,
        requests=rollup.n,
        failures=rollup.err,
        untimed=rollup.untimed,
        in_flight=in_flight.n,
        failures_pct=100 * rollup.err_ratio,
        rps=rollup.n / seconds if seconds > 0 else None,
        bytes=rollup.bytes,
        **_latencies_ms(rollup, in_flight),
        service=Latencies(**_latencies_ms(rollup.by_service, in_flight.by_service)) if open_model else None,
    )


def _latencies_ms(rollup: Rollup, in_flight: Rollup) -> dict[str, Any]:
    names = ("mean_ms", "min_ms", "max_ms", *_PERCENTS)
    if not rollup.timed and not in_flight.timed:
        return dict.fromkeys(names)
    values = (
        figure_us(rollup, in_flight, lambda each: each.mean_us),
        figure_us(rollup, in_flight, lambda each: each.rt_min_us),
        figure_us(rollup, in_flight, lambda each: each.rt_max_us),
        *percentiles_us(rollup, in_flight, tuple(_PERCENTS.values())),
    )
    return {name: value / US_PER_MS for name, value in zip(names, values, strict=True)}


def _in_flight(found: InFlight) -> InFlightRecord:
    return InFlightRecord(
        ended_later=found.ended_later,
        cut=found.cut,
        failed=found.failed,
        undecided=found.undecided,
        stuck=found.stuck,
    )


def _pauses(pauses: Iterable[Pause], window: Window) -> tuple[PauseRecord, ...]:
    """The longest ones, by time."""
    longest = sorted(pauses, key=lambda pause: pause.seconds, reverse=True)[:_MOST_PAUSES]
    return tuple(
        PauseRecord(
            start_s=(pause.start_ns - window.start_ns) / NS_PER_S,
            end_s=(pause.end_ns - window.start_ns) / NS_PER_S,
            waiting=pause.waiting,
            answered=pause.answered,
            expected=pause.expected,
            doubtful=pause.is_doubtful,
        )
        for pause in sorted(longest, key=lambda pause: pause.start_ns)
    )


def _omission(facts: RunFacts) -> OmissionRecord | None:
    found = facts.target.omission
    if found is None:
        return None
    kept = dict(zip(_PERCENTS, kept_pace_ms(facts, tuple(_PERCENTS.values())), strict=True))
    return OmissionRecord(requests=found.rollup.n, seconds=found.seconds, rate=found.rate, **kept)


def _ending(facts: RunFacts) -> EndingRecord:
    ending = facts.ending
    return EndingRecord(
        measure=ending.measure,
        asked_s=ending.asked_s,
        got_s=ending.got_s,
        ended_by=ending.ended_by,
        users_missing_s=facts.shortfall.seconds,
        users_surplus_s=facts.surplus.seconds,
    )


def _window(window: Window) -> WindowRecord:
    return WindowRecord(
        start=iso(window.start_ns),
        end=iso(window.end_ns),
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        seconds=window.seconds,
        opened=window.opened,
    )


def _incarnation(ledger: IncarnationLedger, bound_ns: int) -> IncarnationRecord:
    return IncarnationRecord(
        incarnation=ledger.incarnation,
        worker=ledger.worker,
        produced=ledger.produced,
        stored=ledger.stored,
        dropped=ledger.dropped,
        unknown=ledger.unknown(bound_ns),
        aborted=ledger.aborted,
        final=ledger.final,
        first_sent_at=iso(ledger.first_sent_ns) if ledger.first_sent_ns else None,
        last_sent_at=iso(ledger.last_sent_ns) if ledger.first_sent_ns else None,
        lost_at=iso(ledger.lost_at_ns) if ledger.is_lost and ledger.lost_at_ns is not None else None,
        peak_rps=ledger.peak_rate,
        batches=len(ledger.seqs),
    )
