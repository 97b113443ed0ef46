"""Events: what happened to a run.

They travel as JSON. Keys that are not known here are ignored, and a key that is missing has its default, so versions
can be mixed; a value of the wrong type is a `FormatError`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from loadstone.domain.limits import (
    MOST_EVENT_BYTES,
    Amount,
    Count,
    Figure,
    Id,
    Line,
    Moment,
    Number,
    UserCount,
    Warmup,
    WorkerIndex,
    check_depth,
    check_size,
)
from loadstone.domain.masking import mask_values
from loadstone.domain.request_name import RequestName  # noqa: TC001  (msgspec reads annotations when it runs)
from loadstone.domain.text import shortened
from loadstone.errors import FormatError

__all__ = [
    "LONGEST_TRACEBACK",
    "ArrivalsShared",
    "Crashed",
    "Event",
    "EventKind",
    "ExceptionRaised",
    "Exited",
    "Interrupted",
    "NamesCapped",
    "Orphaned",
    "Payload",
    "RampDone",
    "Restarted",
    "Roster",
    "ScenarioIdentity",
    "Stage",
    "Started",
    "Stopped",
    "Stopping",
    "StorageFailed",
    "TargetExited",
    "Users",
    "WorkerJoined",
    "WorkerLost",
    "WorkerQuit",
    "decode_event",
    "encode_event",
    "payload_of",
]


_MOST_LINES: Final = 1000
_MOST_WORKERS: Final = 100_000
_MOST_NAMES: Final = 10_000
_MOST_AGES: Final = 100_000
LONGEST_TRACEBACK: Final = 32_768
"""Characters of a traceback that are kept; messages are shortened like error texts."""
_Lines = Annotated[tuple[Line, ...], Meta(max_length=_MOST_LINES)]


class EventKind(StrEnum):
    """What can happen to a run."""

    STARTED = "started"
    ROSTER = "roster"
    USERS = "users"
    RAMP_DONE = "ramp_done"
    STAGE = "stage"
    WORKER_JOINED = "worker_joined"
    WORKER_LOST = "worker_lost"
    STOPPING = "stopping"
    STOPPED = "stopped"
    EXCEPTION = "exception"
    ORPHANED = "orphaned"
    WORKER_QUIT = "worker_quit"
    TARGET_EXITED = "target_exited"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    RESTARTED = "restarted"
    NAMES_CAPPED = "names_capped"
    EXITED = "exited"
    STORAGE_FAILED = "storage_failed"
    ARRIVALS_SHARED = "arrivals_shared"


class Payload(Struct, frozen=True, kw_only=True):
    """The content of an event apart from its kind; each kind has its own type of payload."""

    kind: ClassVar[EventKind]


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a run, at ``at_ns`` (wall clock, ns). ``(source, seq)`` is unique."""

    run: Id
    at_ns: Moment
    source: Id
    seq: Number
    payload: Payload

    @property
    def kind(self) -> EventKind:
        """What happened."""
        return self.payload.kind


class ScenarioIdentity(Struct, frozen=True, kw_only=True):
    """The Locust files of a run. ``digest`` covers their names and contents; ``shape`` is a load shape's class."""

    files: tuple[str, ...] = ()
    digest: str | None = None
    git_revision: str | None = None
    user_classes: tuple[str, ...] = ()
    shape: str | None = None


class Started(Payload, frozen=True, kw_only=True):
    """The master started the run: its identity, as far as the master knows it. ``spawn_rate`` is in users per second.

    ``rate``: the stages of the rate of arrivals, and ``arrivals`` how they are spread, see `loadstone.domain.arrivals`;
    empty and None under the closed model. ``target`` and ``limits`` are JSON objects of the target's or the user's own.
    ``launch`` says which start of loadstone the run belongs to. ``exit_from`` says who reports Locust's exit code after
    the run: the process itself, or the command that started it; None where it goes on to other runs.
    """

    kind = EventKind.STARTED
    scenario: ScenarioIdentity | None = None
    host: Line | None = None
    users: UserCount | None = None
    spawn_rate: Figure | None = None
    run_time_s: Figure | None = None
    steady_state_s: Figure | None = None
    warmup_s: Warmup = 0.0
    stop_timeout_s: Figure | None = None
    seed: int | None = None
    rate: _Lines = ()
    arrivals: Line | None = None
    tags: _Lines = ()
    exclude_tags: _Lines = ()
    objectives: _Lines = ()
    workers: Count | None = None
    target: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    versions: Annotated[dict[str, Line], Meta(max_length=_MOST_LINES)] = {}
    launch: Id | None = None
    exit_from: Literal["process", "command"] | None = None


class Roster(Payload, frozen=True, kw_only=True):
    """The indexes of the workers that the master told to spawn users."""

    kind = EventKind.ROSTER
    workers: Annotated[tuple[WorkerIndex, ...], Meta(max_length=_MOST_WORKERS)] = ()


class Users(Payload, frozen=True, kw_only=True):
    """How many users run, how many are wanted, and on how many workers; from the master, every second.

    ``clock_offset_ms``: how far the master's clock is ahead of the stream server's, as last measured.
    """

    kind = EventKind.USERS
    users: UserCount = 0
    target_users: UserCount = 0
    workers: UserCount = 0
    clock_offset_ms: Figure | None = None


class RampDone(Payload, frozen=True, kw_only=True):
    """All users run. With a load shape this happens after every stage."""

    kind = EventKind.RAMP_DONE
    users: UserCount | None = None


class Stage(Payload, frozen=True, kw_only=True):
    """A load shape asked for another number of users than ``before``."""

    kind = EventKind.STAGE
    users: UserCount | None = None
    before: UserCount | None = None


class WorkerJoined(Payload, frozen=True, kw_only=True):
    """A worker joined a run in progress."""

    kind = EventKind.WORKER_JOINED
    worker: WorkerIndex = -1


class WorkerLost(Payload, frozen=True, kw_only=True):
    """The master no longer hears from a worker; ``users`` is how many users it ran, if known."""

    kind = EventKind.WORKER_LOST
    worker: WorkerIndex = -1
    users: UserCount | None = None


class Stopping(Payload, frozen=True, kw_only=True):
    """Users are being stopped. ``ended_by``: what ended the run, see `loadstone.domain.ending`; None if unknown."""

    kind = EventKind.STOPPING
    ended_by: Line | None = None


class Stopped(Payload, frozen=True, kw_only=True):
    """All users have stopped; ``requests``, ``failures`` and ``exceptions`` are Locust's own totals.

    ``reset``: Locust's statistics were set to zero during the run. Older masters did not report the last two.
    """

    kind = EventKind.STOPPED
    requests: Amount = 0
    failures: Amount = 0
    exceptions: Amount | None = None
    reset: bool = False


class ExceptionRaised(Payload, frozen=True, kw_only=True):
    """User code raised an exception ``count`` times since the worker last reported it. ``node`` is its id in Locust.

    ``ages``: pairs of how long before this report it was raised, in tenths of a second, and how often.
    """

    kind = EventKind.EXCEPTION
    message: str = ""
    traceback: str = ""
    count: Count = 1
    node: Line | None = None
    worker: WorkerIndex | None = None
    ages: Annotated[tuple[tuple[Number, Count], ...], Meta(max_length=_MOST_AGES)] = ()


class Orphaned(Payload, frozen=True, kw_only=True):
    """A worker lost its master."""

    kind = EventKind.ORPHANED
    worker: WorkerIndex = -1


class WorkerQuit(Payload, frozen=True, kw_only=True):
    """The scenario ended the run on a worker, as with ``runner.quit()``."""

    kind = EventKind.WORKER_QUIT
    worker: WorkerIndex = -1


class TargetExited(Payload, frozen=True, kw_only=True):
    """The target ended with this exit code."""

    kind = EventKind.TARGET_EXITED
    code: Amount | None = None


class Interrupted(Payload, frozen=True, kw_only=True):
    """A person or a supervisor ended the run early."""

    kind = EventKind.INTERRUPTED


class Crashed(Payload, frozen=True, kw_only=True):
    """A process of the platform ended by itself."""

    kind = EventKind.CRASHED
    part: Line = ""
    code: Amount | None = None


class Restarted(Payload, frozen=True, kw_only=True):
    """A process of the platform that had ended by itself was started again."""

    kind = EventKind.RESTARTED
    part: Line = ""


class Exited(Payload, frozen=True, kw_only=True):
    """A process of Locust ended with this exit code (None: killed), or would have if it did not go on to other runs.

    ``worker`` is None for the master and for a process without workers. ``chosen``: the scenario set the code;
    ``failures`` and ``exceptions``: what Locust counted, for which it exits with ``--exit-code-on-error``; ``raised``:
    code of the scenario outside of tasks raised an exception. ``observed``: as seen by the command that started the
    process, which knows the code, but none of its causes.
    """

    kind = EventKind.EXITED
    code: Amount | None = None
    worker: WorkerIndex | None = None
    chosen: bool = False
    failures: Amount = 0
    exceptions: Amount = 0
    raised: bool = False
    observed: bool = False


class NamesCapped(Payload, frozen=True, kw_only=True):
    """The run has more than ``limit`` request names; ``names`` are the ones that are kept."""

    kind = EventKind.NAMES_CAPPED
    limit: Count | None = None
    names: Annotated[tuple[RequestName, ...], Meta(max_length=_MOST_NAMES)] = ()


class StorageFailed(Payload, frozen=True, kw_only=True):
    """The disk of the archive took nothing from this moment on, for ``lasted_s``; what came meanwhile was kept.

    ``text`` is the cause. It is recorded once the disk takes entries again, so it never is the last that is known.
    """

    kind = EventKind.STORAGE_FAILED
    text: str = ""
    lasted_s: Figure = 0.0


class ArrivalsShared(Payload, frozen=True, kw_only=True):
    """The epoch with this ``number`` begins: ``workers`` own its arrivals in this order, `loadstone.domain.arrivals`.

    It begins ``begins_s`` after the schedule did, at ``zero_ns`` (wall clock of the stream server, ns).
    """

    kind = EventKind.ARRIVALS_SHARED
    number: Number = 0
    begins_s: Figure = 0.0
    zero_ns: Moment = 0
    workers: Annotated[tuple[WorkerIndex, ...], Meta(max_length=_MOST_WORKERS)] = ()


class _Envelope(Struct, frozen=True, kw_only=True):
    """An event as it is stored: its payload is the object ``data``."""

    run: Id
    kind: EventKind
    at_ns: Moment
    source: Id
    seq: Number
    data: msgspec.Raw = msgspec.Raw(b"{}")


_PAYLOADS: Final[dict[EventKind, type[Payload]]] = {payload.kind: payload for payload in Payload.__subclasses__()}
_PAYLOAD_DECODERS: Final = {kind: msgspec.json.Decoder(payload) for kind, payload in _PAYLOADS.items()}
_ENVELOPE_DECODER: Final = msgspec.json.Decoder(_Envelope)
_ENCODER: Final = msgspec.json.Encoder()


def encode_event(event: Event) -> bytes:
    """One event as JSON, secrets masked; characters that UTF-8 lacks (lone surrogates) become question marks."""
    envelope = {
        "run": event.run,
        "kind": event.kind,
        "at_ns": event.at_ns,
        "source": event.source,
        "seq": event.seq,
        "data": mask_values(msgspec.to_builtins(event.payload)),
    }
    try:
        return _ENCODER.encode(envelope)
    except UnicodeEncodeError:
        return json.dumps(envelope, ensure_ascii=False).encode("utf-8", "replace")


def decode_event(blob: bytes) -> Event:
    """The event in a blob; raises `FormatError` when it is none."""
    check_size(blob, MOST_EVENT_BYTES, "an event")
    try:
        envelope = _ENVELOPE_DECODER.decode(blob)
        payload = _checked(_decode_payload(envelope))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not an event: {error}") from error
    return Event(run=envelope.run, at_ns=envelope.at_ns, source=envelope.source, seq=envelope.seq, payload=payload)


def payload_of(kind: EventKind, data: object) -> Payload:
    """The payload of an event of this kind, from its decoded JSON; raises `FormatError` when it is none."""
    try:
        return msgspec.convert(_whole(data), _PAYLOADS[kind])
    except msgspec.ValidationError as error:
        raise FormatError(f"not the data of an event {kind}: {error}") from error


def _decode_payload(envelope: _Envelope) -> Payload:
    try:
        return _PAYLOAD_DECODERS[envelope.kind].decode(envelope.data)
    except msgspec.ValidationError:
        return msgspec.convert(_whole(msgspec.json.decode(envelope.data)), _PAYLOADS[envelope.kind])


def _checked(payload: Payload) -> Payload:
    """The payload with long texts shortened. Raises `ValueError` where it is nested too deeply."""
    if isinstance(payload, Started):
        check_depth((payload.target, payload.limits), "target or limits")
    elif isinstance(payload, ExceptionRaised):
        traceback = shortened(payload.traceback, LONGEST_TRACEBACK)
        return replace(payload, message=shortened(payload.message), traceback=traceback)
    return payload


def _whole(data: object) -> object:
    """Whole numbers as integers: load shapes may ask for 10.0 users, which older versions stored as floats."""
    if not isinstance(data, dict):
        return data
    return {key: int(each) if isinstance(each, float) and each.is_integer() else each for key, each in data.items()}
