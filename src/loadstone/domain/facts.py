"""RunFacts: everything about a run that objectives and the verdict look at, computed for its window."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loadstone.domain.ending import Ending, WrongUsers
from loadstone.domain.in_flight import InFlight
from loadstone.domain.rollup import Rollup, merged
from loadstone.domain.time import NS_PER_S, US_PER_MS, iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.domain.ledger import Ledger
    from loadstone.domain.omission import Omission
    from loadstone.domain.pause import Pause
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.stall import Span, Stall

__all__ = [
    "ArrivalFacts",
    "ExitFacts",
    "LocustCounts",
    "QueueUse",
    "RunFacts",
    "ServiceUsage",
    "TargetFacts",
    "UsageProblem",
    "Window",
    "WorkerFacts",
]


@dataclass(frozen=True, slots=True)
class ArrivalFacts:
    """Arrivals of the open model, see `loadstone.domain.arrival_counts`, and how late their iterations began.

    Milliseconds after the intended start, 99th percentile (at most 0.4 % off) and highest; None where none began.
    ``expected``: how many arrivals the rate comes to, None where that is unknown; ``tolerance``: by how much
    ``planned`` may differ from it in a sound run.
    """

    planned: int
    sent: int
    not_sent: int
    lateness_p99_ms: float | None = None
    lateness_max_ms: float | None = None
    expected: float | None = None
    tolerance: float = 0.0
    cut_off: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUsage:
    """What one service, over all its containers, used in the window; a limit is None where there is none.

    ``cpu_cores``: mean over the ticks, ``cpu_cores_max``: highest tick, ``cpu_limit``: cores, together.
    ``mem_bytes``: highest tick, together; ``mem_pct``: highest share of its own limit of any container, in percent.
    ``ticks``: how many ticks these figures rest on. ``throttled_pct``: highest share of throttled scheduling periods.
    ``oom``: out-of-memory kills, together. ``throttled_mean_pct``: mean over the ticks of the most throttled container.
    ``containers``: how many there were, mean.
    """

    ticks: int
    cpu_cores: float
    cpu_cores_max: float
    cpu_limit: float | None
    mem_bytes: int
    mem_limit: int | None
    mem_pct: float | None
    throttled_pct: float | None = None
    oom: int = 0
    throttled_mean_pct: float | None = None
    containers: float = 1.0


@dataclass(frozen=True, slots=True)
class QueueUse:
    """What a balancer did for one service in the window: how many requests waited in its queue, at its ticks.

    ``retries``: connections that it tried again; ``redispatches``: requests that it sent to another server.
    ``requests``: what came in from anybody in the whole run, less what redirects led to; None if nobody counted.
    """

    mean: float
    highest: int
    retries: int = 0
    redispatches: int = 0
    requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """How one worker did in the window.

    ``lag_p99_ms``: 99th percentile (nearest rank) of its event loop's lag, None without a measurement.
    ``throttled_us``: how long its cgroup throttled it. ``cpu_pct``: mean, of one core. ``clock_offset_ms``: mean
    difference between its clock and the stream server's, None when it was never measured. ``stalls``: when its event
    loop stood still. ``late_pct``: share of the time in which the loop was late beyond the limit, percent. Of its
    machine, percent, None where it does not tell: ``host_busy_pct`` and ``host_stolen_pct`` of the time of the CPUs,
    ``host_waiting_pct`` of the time some task waited for a CPU; means. ``target_offset_ms``: by how much its clock was
    at least ahead of the target's, the smallest reading. ``own_stream``: the stream server runs on its machine.
    ``last_sent_ns``: when it sent its last batch, by its own clock.
    """

    worker: int
    lag_p99_ms: float | None
    throttled_us: int
    cpu_pct: float
    clock_offset_ms: float | None
    stalls: tuple[Stall, ...] = ()
    late_pct: float | None = None
    host_busy_pct: float | None = None
    host_stolen_pct: float | None = None
    host_waiting_pct: float | None = None
    target_offset_ms: float | None = None
    own_stream: bool = False
    last_sent_ns: int | None = None

    @property
    def longest_stall(self) -> Stall | None:
        """The longest of its stalls."""
        return max(self.stalls, key=lambda stall: stall.length_us, default=None)

    @property
    def longest_stall_ms(self) -> float:
        """How long that was; 0 without any."""
        return self.longest_stall.length_us / US_PER_MS if self.longest_stall else 0.0

    @property
    def longest_stall_at(self) -> str | None:
        """When it ended, ISO 8601."""
        return iso(self.longest_stall.end_ns) if self.longest_stall else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """What users got from the target in the window beside answers.

    ``in_flight``: requests that it had not answered. ``silences``: when it answered nobody while users waited;
    ``lulls``: when it answered hardly anybody, which may be around silences. ``omission``: what users did not send
    because they waited, None under the open model and where nothing lacks. ``undisturbed``: what ``in_flight`` could
    have been if no worker had ever stood still; None where that is the same.
    """

    in_flight: InFlight = field(default_factory=InFlight)
    silences: tuple[Pause, ...] = ()
    lulls: tuple[Pause, ...] = ()
    omission: Omission | None = None
    undisturbed: InFlight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitFacts:
    """How one process of Locust ended, see `loadstone.domain.event.Exited`; ``code`` is None if it was killed.

    ``worker`` is None for the master. ``chosen``: the scenario itself ended it with this code. ``failures`` and
    ``exceptions``: what Locust counted. ``raised``: code of the scenario outside of tasks raised an exception.
    """

    code: int | None
    worker: int | None = None
    chosen: bool = False
    failures: int = 0
    exceptions: int = 0
    raised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustCounts:
    """Locust's own totals of a run. ``reset``: its statistics were set to zero meanwhile, so they may lack requests.

    ``exceptions`` is None where the master did not report them.
    """

    requests: int
    failures: int
    exceptions: int | None = None
    reset: bool = False


@dataclass(frozen=True, slots=True)
class UsageProblem:
    """Why figures of containers were missing or doubtful, for how many ticks, and in how many there were none."""

    text: str
    ticks: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What happened, for the window where that matters.

    ``names``: rollup of the window per request name; ``total``: of all of them. ``usage``: per service.
    ``host_cores``: cores of the target's machine, if known. ``lost_workers`` were reported lost by the master;
    ``users_moved``: the target number of users was reached again afterwards. ``aborted``: requests cut off in flight,
    ``unreported``: requests sent and reported to nobody, ``lone_errors``: errors logged without a request, and ``odd``:
    samples of which a value was replaced, such as ``odd_example``, all of the whole run, as is ``failures``.
    ``exceptions``: raised by tasks in the window, ``exceptions_of_run``: in the whole run.
    ``start_known``: the event that starts the run, which has its objectives, was recorded.
    ``target_exited``: the target exited under load, with ``target_exit_code``. ``crashed``: parts of the platform that
    exited for good, with their exit codes; ``restarted``: those that were restarted, and how often. ``damage``: what
    could not be read of the journal. ``salvaged_from``: the run whose damaged journal held what these facts are of;
    empty otherwise. ``undisturbed``: what ``names`` could have been if no worker had ever stood still, None if none
    did. ``master_gaps`` and ``usage_gaps``: when master and usage sampler missed their ticks, which come once a second.
    ``usage_problems``: why figures of containers are missing or doubtful in the window. ``master_offset_ms``: the
    master's clock minus the stream server's. ``queues``: of the balancer, by service. ``locust``: Locust's own totals
    of the whole run. ``target``: what it did beside answering. ``ending``, ``shortfall`` and ``surplus``: how
    long it was, and for how long it had too few users, or too many.
    ``orphaned`` workers lost their master. ``exits``: how processes of Locust ended; ``exit_unknown``: nobody reported
    that of the master, which ended with the run. ``left_workers`` ended properly before the run did, and
    ``silent_workers`` took part in it without ever sending a batch. ``arrivals``: of the window, None under the closed
    model. ``assumed``: hypothetical samples, see `assuming`.
    """

    window: Window
    names: Mapping[RequestName, Rollup]
    total: Rollup
    ledger: Ledger
    usage: Mapping[str, ServiceUsage] = field(default_factory=dict)
    host_cores: float | None = None
    workers: tuple[WorkerFacts, ...] = ()
    lost_workers: tuple[int, ...] = ()
    users_moved: bool = True
    aborted: int = 0
    odd: int = 0
    odd_example: str = ""
    unreported: int = 0
    lone_errors: int = 0
    failures: int = 0
    exceptions: int = 0
    exceptions_of_run: int = 0
    start_known: bool = True
    target_exited: bool = False
    target_exit_code: int | None = None
    master_lost: bool = False
    interrupted: bool = False
    crashed: Mapping[str, int | None] = field(default_factory=dict)
    restarted: Mapping[str, int] = field(default_factory=dict)
    names_capped: bool = False
    damage: tuple[str, ...] = ()
    salvaged_from: str = ""
    locust: LocustCounts | None = None
    undisturbed: Mapping[RequestName, Rollup] | None = None
    master_gaps: tuple[Span, ...] = ()
    usage_gaps: tuple[Span, ...] = ()
    usage_problems: tuple[UsageProblem, ...] = ()
    master_offset_ms: float | None = None
    queues: Mapping[str, QueueUse] = field(default_factory=dict)
    target: TargetFacts = field(default_factory=TargetFacts)
    ending: Ending = field(default_factory=Ending)
    shortfall: WrongUsers = field(default_factory=WrongUsers)
    surplus: WrongUsers = field(default_factory=WrongUsers)
    orphaned: tuple[int, ...] = ()
    exits: tuple[ExitFacts, ...] = ()
    exit_unknown: bool = False
    left_workers: tuple[int, ...] = ()
    silent_workers: tuple[int, ...] = ()
    arrivals: ArrivalFacts | None = None
    assumed: Rollup | None = None

    def select(self, name: str | None) -> Rollup:
        """The window's rollup of the requests that ``name`` selects: ``POST /predict``, ``/predict``, None for all."""
        found = [self.total] if name is None else [rollup for key, rollup in self.names.items() if _selects(name, key)]
        return merged([*found, self.assumed]) if self.assumed and any(rollup.n for rollup in found) else merged(found)

    def in_flight(self, name: str | None) -> Rollup:
        """The requests in flight that ``name`` selects; see `loadstone.domain.in_flight`."""
        found = self.target.in_flight.names.items()
        return merged(rollup for key, rollup in found if name is None or _selects(name, key))

    def assuming_failed(self, count: int) -> RunFacts:
        """These facts as if ``count`` more requests had failed in the window, in no time."""
        return self.assuming(Rollup.of_one(0, count, failed=count))

    @property
    def quickest(self) -> RunFacts:
        """These facts as they could have been at best if no worker had ever stood still."""
        if self.undisturbed is None:
            return self
        target = replace(self.target, in_flight=self.target.undisturbed or self.target.in_flight)
        return replace(self, names=self.undisturbed, total=merged(self.undisturbed.values()), target=target)

    @property
    def on_time(self) -> RunFacts:
        """These facts as if every iteration had begun at its intended start: response times are service times then."""
        in_flight = replace(self.target.in_flight, names=_by_service(self.target.in_flight.names))
        return replace(
            self,
            names=_by_service(self.names),
            total=self.total.by_service,
            target=replace(self.target, in_flight=in_flight),
        )

    @property
    def raised(self) -> int:
        """How many exceptions tasks raised in the window; each hypothetical sample that failed may stand for one."""
        return self.exceptions + (self.assumed.err if self.assumed else 0)

    def assuming(self, extra: Rollup) -> RunFacts:
        """These facts as if the samples ``extra`` had ended in the window too, under any name that is selected."""
        return replace(self, assumed=extra)


def _by_service(names: Mapping[RequestName, Rollup]) -> dict[RequestName, Rollup]:
    return {name: rollup.by_service for name, rollup in names.items()}


def _selects(text: str, name: RequestName) -> bool:
    return text in {name.name, name.label}


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start_ns`` (ramp done, plus warm-up) up to but without ``end_ns`` (stop); wall clock, ns.

    ``opened`` is False when the ramp-up never finished: the window is then the whole run, shown but not judged.
    """

    start_ns: int
    end_ns: int
    opened: bool = True

    @property
    def seconds(self) -> float:
        """Its length in seconds, never negative."""
        return max(0, self.end_ns - self.start_ns) / NS_PER_S

    def __contains__(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns < self.end_ns
