"""StudyRecord: everything in study.json, as typed records. docs/reference/study.schema.json is generated from them.

Times are ISO 8601, UTC, to the microsecond, unless a name ends in ``_s`` (seconds). Money is in any currency, an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from loadstone.capacity.load import RATE_UNIT, Load, load_of
from loadstone.domain.arrivals import Spread
from loadstone.domain.objective import parse_objectives
from loadstone.errors import UsageError
from loadstone.rig.rig import Setting  # noqa: TC001  (msgspec reads annotations when it runs)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT_VERSION",
    "AnswerRecord",
    "BottleneckRecord",
    "CalibrationRecord",
    "MostAnswerRecord",
    "MostQuestion",
    "NeighbourRecord",
    "Question",
    "RateAnswerRecord",
    "RateQuestion",
    "SettingAnswerRecord",
    "SettingQuestion",
    "StudyRecord",
    "TrialRecord",
    "UsersAnswerRecord",
    "UsersQuestion",
]

FORMAT_VERSION: Final = 1

_Users = Annotated[int, Meta(ge=1)]
_Rate = Annotated[float, Meta(gt=0)]
_Spread = Annotated[Spread, Meta(description="How arrivals are spread over time.")]
_MaxUsers = Annotated[
    _Users | None, Meta(description="How many iterations may go on at once; null: as many as the rate needs.")
]


class UsersQuestion(Struct, frozen=True, kw_only=True, tag_field="find", tag="users"):
    """The most users that a target holds as it is."""

    at_least: _Users
    at_most: _Users
    first: Annotated[int, Meta(description="The number of users of the first trial.", ge=1)]


class RateQuestion(Struct, frozen=True, kw_only=True, tag_field="find", tag="rate"):
    """The most arrivals per second that a target holds as it is."""

    at_least: _Rate
    at_most: _Rate
    first: Annotated[float, Meta(description="The rate of the first trial.", gt=0)]
    spread: _Spread
    max_users: _MaxUsers = None


class SettingQuestion(Struct, frozen=True, kw_only=True, tag_field="find", tag="setting"):
    """The cheapest limits and replicas that hold a load, which is users or a rate; the axes are what may be tried."""

    users: Annotated[_Users | None, Meta(description="Null if they are to hold a rate.")] = None
    rate: Annotated[_Rate | None, Meta(description="Arrivals per second; null if they are to hold users.")] = None
    spread: Annotated[_Spread | None, Meta(description="Null if they are to hold users.")] = None
    max_users: _MaxUsers = None
    cpu_cores: Annotated[tuple[float, ...], Meta(description="Cores of one replica, increasing.", min_length=1)]
    mem_bytes: Annotated[tuple[int, ...], Meta(description="Bytes of one replica, increasing.", min_length=1)]
    replicas: Annotated[tuple[int, ...], Meta(description="Numbers of replicas, increasing.", min_length=1)]
    price_cpu: Annotated[float, Meta(description="Of one core for an hour.", ge=0)]
    price_memory: Annotated[float, Meta(description="Of one GiB for an hour.", ge=0)]
    price_replica: Annotated[float, Meta(description="Of a replica in itself, for an hour.", ge=0)]

    def __post_init__(self) -> None:
        """Raise `ValueError` for a load that is none, or two."""
        load_of(self.users, self.rate)

    @property
    def load(self) -> Load:
        """What they are to hold."""
        return load_of(self.users, self.rate)


MostQuestion: TypeAlias = UsersQuestion | RateQuestion
Question: TypeAlias = MostQuestion | SettingQuestion


class BottleneckRecord(Struct, frozen=True, kw_only=True):
    """What limited the target in a trial, as far as its figures tell."""

    cause: Literal["cpu quota", "one core per process", "memory", "balancer", "downstream", "unknown"]
    evidence: Annotated[str, Meta(description="One sentence with the figures that show it.")]
    cure: Annotated[str, Meta(description="What to change; empty where nothing is known.")] = ""


class TrialRecord(Struct, frozen=True, kw_only=True):
    """One trial: a run, and what it says of the target. Figures are those of the run's window."""

    users: Annotated[_Users | None, Meta(description="Null if it had a rate.")] = None
    rate: Annotated[_Rate | None, Meta(description="Arrivals per second (open model); null if it had users.")] = None
    window_s: Annotated[float, Meta(description="How long was measured after ramp and warm-up.", ge=0)]
    run: Annotated[str, Meta(description="The run's id; empty if the target did not even start.")]
    outcome: Literal["holds", "does not hold", "invalid"]
    reasons: tuple[str, ...] = ()
    broke: Annotated[bool, Meta(description="Whether the target ran out of memory or exited.")] = False
    margin: Annotated[
        float | None,
        Meta(description="Largest ln(value / limit) over the objectives; null if invalid, or if the target broke."),
    ] = None
    margin_se: Annotated[float, Meta(ge=0)] = 0.0
    objective: Annotated[str, Meta(description="The objective with that margin.")] = ""
    rps: Annotated[float, Meta(ge=0)] | None = None
    failures_pct: float = 0.0
    mean_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    setting: Annotated[Setting | None, Meta(description="The limits under which it ran; null if they are unknown.")] = (
        None
    )
    read_back: Annotated[str, Meta(description="How these limits were read back; empty if they were not.")] = ""
    cpu_cores: Annotated[float | None, Meta(description="Mean use of one replica; null if it is unknown.")] = None
    peak_mem_bytes: Annotated[int | None, Meta(description="Highest working set of one replica.")] = None
    idle_mem_bytes: Annotated[int | None, Meta(description="What one replica held before the load.")] = None
    throttled_pct: Annotated[float | None, Meta(description="Share of periods in which a replica was throttled.")] = (
        None
    )
    bottleneck: BottleneckRecord | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` where outcome and margin contradict each other, and for a load that is none, or two."""
        load_of(self.users, self.rate)
        has_none = self.outcome == "invalid" or self.broke
        if (self.margin is None) is not has_none or (self.broke and self.outcome != "does not hold"):
            raise ValueError(f"the trial {self.run} is said to be {self.outcome!r}, and its margin {self.margin}")

    @property
    def load(self) -> Load:
        """What it sent."""
        return load_of(self.users, self.rate)

    @property
    def why(self) -> str:
        """The first reason for its outcome, and how many more there are; empty where it holds."""
        more = len(self.reasons) - 1
        return f"{self.reasons[0]}{f' (and {more} more)' if more else ''}" if self.reasons else ""


_Undecided = Annotated[bool, Meta(description="Whether that was too near the limit to tell.")]
_Proved = Annotated[bool, Meta(description="Whether both were found by the rules of a proof.")]
_Open = Annotated[str, Meta(description="What there is left to try, and why; empty if there is nothing.")]


class UsersAnswerRecord(Struct, frozen=True, kw_only=True, tag_field="find", tag="users"):
    """The most users that the target holds."""

    holds: Annotated[int | None, Meta(description="The most users that held; null if not even the fewest did.")]
    not_held: Annotated[int | None, Meta(description="The fewest above them that did not; null if none was found.")]
    not_held_undecided: _Undecided = False
    proved: _Proved
    open: _Open = ""

    @property
    def highest(self) -> Load | None:
        """The most users that held, as a load."""
        return None if self.holds is None else Load(self.holds)

    @property
    def too_much(self) -> Load | None:
        """The fewest above them that did not, as a load."""
        return None if self.not_held is None else Load(self.not_held)


class RateAnswerRecord(Struct, frozen=True, kw_only=True, tag_field="find", tag="rate"):
    """The most arrivals per second that the target holds."""

    holds: Annotated[float | None, Meta(description="The highest rate that held; null if not even the lowest did.")]
    not_held: Annotated[float | None, Meta(description="The lowest above it that did not; null if none was found.")]
    not_held_undecided: _Undecided = False
    proved: _Proved
    open: _Open = ""

    @property
    def highest(self) -> Load | None:
        """The highest rate that held, as a load."""
        return None if self.holds is None else Load(self.holds, is_rate=True)

    @property
    def too_much(self) -> Load | None:
        """The lowest above it that did not, as a load."""
        return None if self.not_held is None else Load(self.not_held, is_rate=True)


class NeighbourRecord(Struct, frozen=True, kw_only=True):
    """A setting one step smaller than the answer, and what was found."""

    setting: Setting
    finding: Literal["holds", "fails", "breaks", "undecided"]
    margin: Annotated[float | None, Meta(description="Over all its trials; null without one that shows it.")] = None
    margin_se: Annotated[float, Meta(ge=0)] = 0.0
    trials: Annotated[int, Meta(ge=0)] = 0


class SettingAnswerRecord(Struct, frozen=True, kw_only=True, tag_field="find", tag="setting"):
    """The cheapest setting that holds."""

    setting: Annotated[Setting | None, Meta(description="Null if none that was tried was proved to hold.")]
    price: Annotated[float | None, Meta(description="Of all its replicas for an hour.")] = None
    margin: Annotated[float | None, Meta(description="Over all its trials.")] = None
    margin_se: Annotated[float, Meta(ge=0)] = 0.0
    trials: Annotated[int, Meta(description="How many trials of this setting were valid.", ge=0)] = 0
    smaller: Annotated[
        tuple[NeighbourRecord, ...], Meta(description="Its neighbours with one step less of CPU or memory.")
    ] = ()
    smaller_fails: Annotated[
        bool, Meta(description="Whether one step of CPU less was shown not to hold, or there is none.")
    ] = False
    proved: Annotated[bool, Meta(description="Whether the search came to its end.")]
    open: Annotated[str, Meta(description="Why it did not; empty if it did.")] = ""


MostAnswerRecord: TypeAlias = UsersAnswerRecord | RateAnswerRecord
AnswerRecord: TypeAlias = MostAnswerRecord | SettingAnswerRecord


class CalibrationRecord(Struct, frozen=True, kw_only=True):
    """What the generator can do by itself: a run of the same load against an answer that costs nothing."""

    run: str
    doubts: Annotated[tuple[str, ...], Meta(description="Why that run is inconclusive; empty if it is not.")] = ()
    rps: Annotated[float, Meta(description="Requests per second of that load.", ge=0)]
    p95_ms: float | None
    worker_cpu_pct: Annotated[float, Meta(description="Of one core, the busiest worker.", ge=0)]
    ceiling_rps: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="The rate at which that worker would use a whole core; null if the run is inconclusive."),
    ]
    cores: Annotated[float, Meta(description="What all workers used together.", ge=0)]


class StudyRecord(Struct, frozen=True, kw_only=True):
    """Everything in study.json."""

    format: Annotated[int, Meta(description="Version of this layout.", ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    id: str
    started_at: str
    scenario: tuple[str, ...]
    workload: Annotated[str, Meta(description="A digest of the scenario's files and options, and of tags and seed.")]
    host: Annotated[str, Meta(description="The base addresses of the targets, secrets masked.")]
    rig: Annotated[str, Meta(description="What sets the limits; empty where the target stays as it is.")] = ""
    objectives: tuple[str, ...]
    question: Question
    measure_s: Annotated[float, Meta(gt=0)]
    warmup_s: Annotated[float, Meta(ge=0)]
    words: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="The options that it was started with; null if they were not kept, as they could hold a secret."
        ),
    ] = None
    before: Annotated[
        dict[str, Any] | None, Meta(description="What the rig found; null once it was put back, or was never changed.")
    ] = None
    calibration: CalibrationRecord | None = None
    identity: Annotated[
        dict[str, str],
        Meta(description="What the target and its scenario were in all valid trials, as far as the runs tell."),
    ] = {}
    trials: tuple[TrialRecord, ...] = ()
    answer: Annotated[AnswerRecord | None, Meta(description="Null while the study goes on.")] = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for objectives that are none, and for an answer to another question."""
        try:
            parse_objectives(self.objectives)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if self.answer is not None and not isinstance(self.answer, _ANSWERS[type(self.question)]):
            raise ValueError(f"study {self.id} has an answer to another question")

    @property
    def asks_setting(self) -> bool:
        """Whether it asks for limits, and not for the most load."""
        return isinstance(self.question, SettingQuestion)

    @property
    def has_rates(self) -> bool:
        """Whether the load of its trials is a rate of arrivals, and not a number of users."""
        return isinstance(self.question, RateQuestion) or (
            isinstance(self.question, SettingQuestion) and self.question.load.is_rate
        )

    @property
    def load_unit(self) -> str:
        """The unit of that load, for the head of a column."""
        return RATE_UNIT if self.has_rates else "users"


_ANSWERS: Final[Mapping[type[Question], type[AnswerRecord]]] = {
    UsersQuestion: UsersAnswerRecord,
    RateQuestion: RateAnswerRecord,
    SettingQuestion: SettingAnswerRecord,
}
