"""RunRecord: everything in run.json, as typed records. docs/reference/run.schema.json is generated from them.

Times are ISO 8601, UTC, to the microsecond, unless a name ends in ``_ns`` (ns since 1970) or ``_s`` (seconds). Fields
that are not known here are ignored when a run.json is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from loadstone.archive.integrity import (  # noqa: TC001  (msgspec reads annotations when it runs)
    ContentsRecord,
    FileDigest,
    SalvageRecord,
)
from loadstone.domain.event import ScenarioIdentity  # noqa: TC001  (msgspec reads annotations when it runs)
from loadstone.domain.request_name import RequestName
from loadstone.domain.verdict import VerdictWord  # noqa: TC001  (msgspec resolves it at run time)

__all__ = [
    "FORMAT_VERSION",
    "ArchiveLedger",
    "ArrivalsRecord",
    "BalancerRecord",
    "Figures",
    "InFlightRecord",
    "IncarnationRecord",
    "InfluxLedgerRecord",
    "Latencies",
    "Ledgers",
    "LocustTotals",
    "NameFigures",
    "ObjectiveRecord",
    "OmissionRecord",
    "PartRecord",
    "PauseRecord",
    "RunRecord",
    "ServiceRecord",
    "Summary",
    "WindowRecord",
    "WorkerHealth",
]

FORMAT_VERSION: Final = 1

_Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
_Count = Annotated[int, Meta(ge=0)]


class WindowRecord(Struct, frozen=True, kw_only=True):
    """The part of the run that objectives judge: start <= end of a request < end."""

    start: _Time
    end: _Time
    start_ns: int
    end_ns: int
    seconds: Annotated[float, Meta(ge=0)]
    opened: Annotated[bool, Meta(description="False if the ramp-up never finished; the window is then the whole run.")]


class Latencies(Struct, frozen=True, kw_only=True):
    """Durations of some requests in ms, None without a request; percentiles are at most 0.4 % off."""

    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None


class Figures(Struct, frozen=True, kw_only=True):
    """The figures of some requests. Latencies in ms, None without a request; percentiles are at most 0.4 % off.

    They are response times. Under the open model these begin at the intended start, and ``service`` is from sent to
    answered; under the closed model both are the same, and ``service`` is None.
    ``in_flight`` further requests had not been answered in the window: they can raise its latencies, and lower none.
    ``method`` and ``name`` are set for the figures of one request name only.
    """

    method: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    requests: _Count
    failures: _Count
    untimed: Annotated[_Count, Meta(description="Requests without a response time; latencies are of the others.")] = 0
    in_flight: Annotated[
        _Count, Meta(description="Requests in flight that the latencies include; they are not among `requests`.")
    ] = 0
    failures_pct: Annotated[float, Meta(ge=0, le=100)]
    rps: Annotated[float | None, Meta(description="Requests per second; null over no time.")]
    bytes: Annotated[int, Meta(description="Response bodies, together.")]
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    service: Annotated[Latencies | None, Meta(description="Service times; null under the closed model.")] = None


class NameFigures(Figures, frozen=True, kw_only=True):
    """The figures of one request name."""

    method: str
    name: str

    @property
    def request_name(self) -> RequestName:
        """Method and name as one."""
        return RequestName(self.method, self.name)


class ArrivalsRecord(Struct, frozen=True, kw_only=True):
    """What the generator did under the open model: iterations that the schedule asked for, and how late they began."""

    planned: Annotated[_Count, Meta(description="Arrivals whose intended start had passed.")]
    sent: Annotated[_Count, Meta(description="Those of them for which an iteration began.")]
    not_sent: Annotated[_Count, Meta(description="Those of them that found no free user.")]
    lateness_p99_ms: Annotated[
        float | None, Meta(description="99th percentile of how late iterations began; null if none began.")
    ]
    lateness_max_ms: Annotated[float | None, Meta(description="How late the latest one began; null if none began.")]
    expected: Annotated[
        float | None, Meta(description="How many arrivals the rate comes to; null where that is unknown.")
    ] = None
    cut_off: Annotated[
        _Count, Meta(description="Those of the planned that were due but had not begun when users were stopped.")
    ] = 0


class PartRecord(Struct, frozen=True, kw_only=True):
    """The figures of the window or of the whole run: all requests together, and by name."""

    total: Figures
    names: tuple[NameFigures, ...]
    arrivals: Annotated[ArrivalsRecord | None, Meta(description="Null under the closed model.")] = None


class PauseRecord(Struct, frozen=True, kw_only=True):
    """A part of the window in which the target answered nobody, or hardly anybody, while users waited."""

    start_s: Annotated[float, Meta(description="Seconds after the start of the window.")]
    end_s: float
    waiting: Annotated[_Count, Meta(description="Requests that waited for unusually long.")]
    answered: _Count
    expected: Annotated[float, Meta(description="Answers that as many users had in that time otherwise.")]
    doubtful: Annotated[bool, Meta(description="Whether the schedule of the users cannot be the reason.")]


class OmissionRecord(Struct, frozen=True, kw_only=True):
    """What users of a closed run did not send while they waited for a slow target, and percentiles with it."""

    requests: Annotated[_Count, Meta(description="About so many.")]
    seconds: Annotated[float, Meta(description="In so many seconds of the window.")]
    rate: Annotated[float, Meta(description="Requests a second that users send while nothing holds them up.")]
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float


class InFlightRecord(Struct, frozen=True, kw_only=True):
    """Requests that were in flight at the end of the window, or were cut off in it; none is among `requests`."""

    ended_later: Annotated[_Count, Meta(description="Ended after the window; they count as slow as they were.")] = 0
    cut: Annotated[_Count, Meta(description="Cut off; they count as at least as slow as they were then.")] = 0
    failed: Annotated[_Count, Meta(description="Those of both that count as failures.")] = 0
    undecided: Annotated[_Count, Meta(description="Cut off although answered ones had taken as long.")] = 0
    stuck: Annotated[_Count, Meta(description="Users cut off inside a task, without a request that is known.")] = 0


class EndingRecord(Struct, frozen=True, kw_only=True):
    """How long the run was meant to be, how long it was, what ended it, and whether it had its users until then."""

    measure: Annotated[str, Meta(description="What the two lengths are of: `run` or `window`.")] = "run"
    asked_s: Annotated[float | None, Meta(description="Null where nothing was asked for.")] = None
    got_s: float = 0.0
    ended_by: Annotated[str | None, Meta(description="Null where it is not known.")] = None
    users_missing_s: Annotated[float, Meta(description="In the window, with fewer users than were wanted.")] = 0.0
    users_surplus_s: Annotated[float, Meta(description="In the window, with more users than were wanted.")] = 0.0


class Summary(Struct, frozen=True, kw_only=True):
    """The figures of the window and of the whole run."""

    window: PartRecord
    run: PartRecord


class ServiceRecord(Struct, frozen=True, kw_only=True):
    """What one service, all its containers together, used in the window; a limit is None where there is none."""

    ticks: Annotated[int, Meta(description="How many measurements these figures rest on.")]
    cpu_cores: Annotated[float, Meta(description="Mean, all containers together.")]
    cpu_cores_max: Annotated[float, Meta(description="Highest, all containers together.")]
    cpu_limit: Annotated[float | None, Meta(description="Cores, all containers together.")]
    mem_bytes: Annotated[int, Meta(description="Highest, all containers together.")]
    mem_limit: Annotated[int | None, Meta(description="Bytes, all containers together.")]
    mem_pct: Annotated[float | None, Meta(description="Highest share of its own limit of any container.")]
    throttled_pct: Annotated[
        float | None, Meta(description="Highest share of scheduling periods in which a container was throttled.")
    ]
    oom: Annotated[int, Meta(description="Out-of-memory kills in the window.")]


class BalancerRecord(Struct, frozen=True, kw_only=True):
    """What a load balancer did for one service in the window."""

    queue_mean: Annotated[float, Meta(description="Requests in its queue, mean over its measurements.")]
    queue_max: Annotated[int, Meta(description="Requests in its queue, most.")]
    retries: Annotated[int, Meta(description="Connections that it tried again.")]
    redispatches: Annotated[int, Meta(description="Requests that it sent to another server.")]
    requests: Annotated[
        int | None,
        Meta(description="From anybody in the whole run, less those that redirects led to; null if nobody counted."),
    ] = None


class WorkerHealth(Struct, frozen=True, kw_only=True):
    """How one worker did in the window."""

    worker: int
    lag_p99_ms: Annotated[float | None, Meta(description="99th percentile of its event loop's lag.")]
    throttled_us: Annotated[int, Meta(description="How long its cgroup throttled it.")]
    cpu_pct: Annotated[float, Meta(description="Mean, percent of one core.")]
    clock_offset_ms: Annotated[float | None, Meta(description="Its clock minus the stream server's, mean.")]
    late_pct: Annotated[
        float | None, Meta(description="Share of the time in which its event loop was late beyond the limit.")
    ] = None
    longest_stall_ms: Annotated[float, Meta(description="Longest time its event loop stood still; 0 if never.")] = 0.0
    longest_stall_at: Annotated[_Time | None, Meta(description="When that ended.")] = None
    host_busy_pct: Annotated[float | None, Meta(description="How busy the CPUs of its machine were, mean.")] = None
    host_stolen_pct: Annotated[
        float | None, Meta(description="Share of their time that went to other virtual machines, mean.")
    ] = None
    host_waiting_pct: Annotated[
        float | None, Meta(description="Share of the time in which some task of its machine waited for a CPU, mean.")
    ] = None
    target_offset_ms: Annotated[
        float | None,
        Meta(
            description="How far its clock was at least ahead of the target's, by the Date of answers; 0: they agree."
        ),
    ] = None


class LocustTotals(Struct, frozen=True, kw_only=True):
    """Locust's own totals."""

    requests: int
    failures: int
    exceptions: Annotated[int | None, Meta(description="Null if its master did not report them.")] = None
    reset: Annotated[bool, Meta(description="Whether its statistics were set to zero during the run.")] = False


class ArchiveLedger(Struct, frozen=True, kw_only=True):
    """Where every produced request is, in the archive."""

    produced: _Count
    stored: _Count
    dropped: Annotated[_Count, Meta(description="Dropped by workers whose buffer was full.")]
    unknown: Annotated[_Count, Meta(description="At most this many were lost with killed workers or damage.")]
    balances: Annotated[
        bool, Meta(description="produced = stored + dropped for every incarnation that ended properly.")
    ]


class InfluxLedgerRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where every stored request is, in InfluxDB, and why it is not there."""

    stored: _Count
    rejected: _Count
    pending: _Count
    points_rejected: Annotated[_Count, Meta(description="Rejected points other than requests, such as rollups.")] = 0
    rejected_reason: Annotated[
        str | None, Meta(description="Why InfluxDB rejected the first of these lines, and what to do.")
    ] = None
    first_rejected: Annotated[str | None, Meta(description="That line, cut, its secrets masked.")] = None
    pending_reason: Annotated[str | None, Meta(description="Why requests are pending, and what to do.")] = None


class Ledgers(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ledger per sink; ``influx`` only where there is an InfluxDB."""

    archive: ArchiveLedger
    influx: InfluxLedgerRecord | None = None


class IncarnationRecord(Struct, frozen=True, kw_only=True, rename={"incarnation": "boot"}):
    """One life of one worker process; its key ``boot`` is empty for a worker that was lost before it sent anything."""

    incarnation: str
    worker: int
    produced: Annotated[_Count, Meta(description="As it last reported.")]
    stored: _Count
    dropped: _Count
    unknown: Annotated[_Count, Meta(description="Upper bound of what was lost of it; 0 if `final` and not salvaged.")]
    aborted: _Count
    final: Annotated[bool, Meta(description="Whether it ended properly.")]
    first_sent_at: _Time | None
    last_sent_at: _Time | None
    lost_at: Annotated[_Time | None, Meta(description="When the master reported its worker lost.")]
    peak_rps: Annotated[float, Meta(description="Its highest rate between two batches, requests per second.")]
    batches: Annotated[_Count, Meta(description="Its batches that are stored; 0 in runs of version 0.1.")] = 0


class ObjectiveRecord(Struct, frozen=True, kw_only=True):
    """How one objective came out."""

    text: Annotated[str, Meta(description="As it was given.")]
    metric: Annotated[str, Meta(description="Metric and what it was measured on.")]
    operator: Literal["<", "<=", ">", ">=", "=="]
    limit: Annotated[float, Meta(description="In `unit`.")]
    value: Annotated[float | None, Meta(description="In `unit`; null if it could not be measured.")]
    unit: str
    ok: Annotated[bool | None, Meta(description="Whether it held; null if it could not be measured.")]
    reason: str


class RunRecord(Struct, frozen=True, kw_only=True, rename={"incarnations": "boots"}):
    """What was run, how it went, and its outcome.

    Times are ISO 8601, UTC, to the microsecond, unless a name ends in ``_ns`` (ns since 1970) or ``_s`` (seconds).
    ``target`` and ``limits`` are what the target or the user reported about the target, as JSON.
    """

    format: Annotated[int, Meta(description="Version of this layout.", ge=1, le=FORMAT_VERSION)]
    id: Annotated[str, Meta(description="The run's id, which is its folder's name.")]
    started_at: Annotated[
        _Time | None,
        Meta(
            description="When the master started the run; else the start of its first request; null if it left nothing."
        ),
    ]
    ended_at: Annotated[
        _Time | None,
        Meta(description="When the master reported all users stopped; else the end of its last request."),
    ]
    closed_at: Annotated[_Time, Meta(description="When the run was closed for the first time.")]
    window: WindowRecord
    scenario: Annotated[ScenarioIdentity | None, Meta(description="Null without a master.")]
    host: Annotated[str | None, Meta(description="The base addresses of the targets, secrets masked.")]
    users: Annotated[int | None, Meta(description="Users that were asked for.")]
    spawn_rate: Annotated[float | None, Meta(description="Users per second.")]
    run_time_s: float | None
    steady_state_s: float | None
    warmup_s: float | None
    stop_timeout_s: float | None
    workers: Annotated[int | None, Meta(description="Workers at the start.")]
    seed: int | str | None
    rate: Annotated[
        tuple[str, ...], Meta(description="Stages of the rate of arrivals, as given; empty under the closed model.")
    ] = ()
    arrivals_spread: Annotated[
        str | None, Meta(description="How arrivals are spread over time; null under the closed model.")
    ] = None
    tags: tuple[str, ...]
    exclude_tags: tuple[str, ...]
    target: Annotated[
        dict[str, Any] | None,
        Meta(description="What was tested, as far as it is known: model name, version, alias, run id, limits."),
    ]
    limits: Annotated[
        dict[str, Any] | None, Meta(description="CPU and memory limits of the target, as far as they are known.")
    ]
    launch: Annotated[Any, Meta(description="Which start of loadstone this run belongs to.")]
    versions: dict[str, str]
    users_peak: Annotated[_Count, Meta(description="Most users that ran at once.")]
    requests: Annotated[_Count, Meta(description="Requests of the whole run: rows of requests.parquet.")]
    failures: Annotated[_Count, Meta(description="Those of them that failed.")]
    aborted: Annotated[_Count, Meta(description="Requests cut off in flight; they are not among `requests`.")]
    in_flight: InFlightRecord = InFlightRecord()
    silences: Annotated[
        tuple[PauseRecord, ...], Meta(description="When nobody was answered while users waited, in the window.")
    ] = ()
    lulls: Annotated[
        tuple[PauseRecord, ...], Meta(description="When hardly anybody was, which may be around silences.")
    ] = ()
    omission: Annotated[
        OmissionRecord | None,
        Meta(description="Null where nothing lacks, or it cannot be told, and under the open model."),
    ] = None
    ending: EndingRecord = EndingRecord()
    unreported: Annotated[
        _Count, Meta(description="Requests that were sent, but reported to nobody; they are not among `requests`.")
    ] = 0
    lone_errors: Annotated[
        _Count, Meta(description="Errors logged without a request; they are among `requests` and `failures`.")
    ] = 0
    exceptions: Annotated[_Count, Meta(description="Exceptions that tasks raised in the whole run.")] = 0
    exceptions_in_window: Annotated[_Count, Meta(description="Those of them raised in the window.")] = 0
    odd: Annotated[_Count, Meta(description="Request events with a value that was replaced.")] = 0
    odd_example: Annotated[str, Meta(description="One of them; empty without any.")] = ""
    summary: Summary
    usage: Annotated[dict[str, ServiceRecord], Meta(description="What each service used in the window.")]
    balancers: Annotated[
        dict[str, BalancerRecord], Meta(description="What a balancer did for each service in the window.")
    ] = {}
    worker_health: tuple[WorkerHealth, ...]
    locust: Annotated[LocustTotals | None, Meta(description="Null if its master never reported them.")]
    ledgers: Ledgers
    incarnations: tuple[IncarnationRecord, ...]
    lost_workers: tuple[int, ...]
    scenario_exit_code: Annotated[
        int | None, Meta(description="Locust's own exit code, by which a scenario can judge; null if unknown.")
    ] = None
    objectives: tuple[ObjectiveRecord, ...]
    verdict: VerdictWord
    exit_code: Literal[0, 1, 3, 4, 130]
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    contents: Annotated[ContentsRecord | None, Meta(description="Null in runs that version 0.1 closed.")] = None
    salvage: Annotated[
        SalvageRecord | None, Meta(description="Null unless the archive was salvaged from a damaged journal.")
    ] = None
    files: Annotated[
        dict[str, FileDigest],
        Meta(description="Every file that this one was written with; empty in runs that version 0.1 closed."),
    ] = {}
    digest: Annotated[
        str,
        Meta(
            description="`sha256:` and the SHA-256 of this file up to, and without, the key `digest`; "
            "empty in runs that version 0.1 closed."
        ),
    ] = ""

    @property
    def judged(self) -> PartRecord:
        """The figures that objectives judge: those of the window, or of the whole run when no window opened."""
        return self.summary.window if self.window.opened else self.summary.run
