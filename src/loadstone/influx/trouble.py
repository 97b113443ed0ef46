"""Why InfluxDB does not take what it is sent: kept in Redis for the Aggregator, and told with the cure.

A writer that gets nowhere notes it at `INFLUX_TROUBLE`, with every try; the note expires when the writer is gone. The
first line of a run that was rejected is kept beside the run's ledger. Both are cut and free of secrets.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from loadstone.domain.live import Trouble
from loadstone.domain.masking import mask_secrets
from loadstone.domain.time import NS_PER_S
from loadstone.influx.answer import WriteOutcome, is_beyond_retention
from loadstone.stream.keys import INFLUX_TROUBLE, KEPT_S, influx_rejected
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.influx.answer import WriteAnswer

__all__ = [
    "FirstRejected",
    "TroubleNote",
    "WriterTrouble",
    "cure_of_refusal",
    "cure_of_rejection",
    "note_first_rejected",
    "read_first_rejected",
    "read_trouble",
]

T = TypeVar("T")
_PART: Final = "InfluxDB"
_LINE_LIMIT: Final = 300
_SHOWN: Final = 120
_MOMENT_NS: Final = 2 * NS_PER_S
"""A server that restarts, or a lost connection, is no trouble before that."""

_OUTLIVES_S: Final = 15.0
_CURES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "Correct the token in the file that --influx-token-file names",
    HTTPStatus.FORBIDDEN: "Give the token the right to write to the bucket",
    HTTPStatus.NOT_FOUND: "Correct --influx-org and --influx-bucket, or create the bucket",
}


class WriterTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why a writer gets nowhere: InfluxDB's answer, if it is a refusal, and since when (wall clock)."""

    writer: str
    reason: str
    refused: bool
    status: int
    since_ns: int

    @property
    def told(self) -> str:
        """The reason with its cure."""
        return f"{self.reason}. {cure_of_refusal(self.status)}"

    def as_live(self, pending: int, now_ns: int) -> Trouble | None:
        """As the live views tell it, with the requests of a run that wait; None while it may be over in a moment."""
        if not self.refused and now_ns - self.since_ns < _MOMENT_NS:
            return None
        verb = "refuses to write" if self.refused else "does not write"
        waiting = f"{pending:,} requests of this run wait, and nothing is lost"
        return Trouble(part=_PART, text=f"InfluxDB {verb}: {self.told}. {waiting}", since_ns=self.since_ns)


class FirstRejected(msgspec.Struct, frozen=True, kw_only=True):
    """The first rejected line of a run, masked and cut, and InfluxDB's reason."""

    reason: str
    line: str
    at_ns: int

    @property
    def told(self) -> str:
        """The reason with its cure."""
        return f"{self.reason}. {cure_of_rejection(self.reason)}"

    def as_live(self, requests: int, points: int, stored: int) -> Trouble:
        """As the live views tell it, with the rejected and stored requests of the run and its other rejected points."""
        what = f"{requests:,} of {requests + stored:,} requests"
        more = f" and {points:,} other points" if points else ""
        text = f"InfluxDB rejected {what}{more}: {self.told}. The first line: {self.line[:_SHOWN]}"
        return Trouble(part=_PART, text=text, since_ns=self.at_ns)

    @classmethod
    def of(cls, reason: str, line: str, at_ns: int) -> FirstRejected:
        """From the line as it was sent."""
        return cls(reason=reason, line=mask_secrets(line[:_LINE_LIMIT]), at_ns=at_ns)


class TroubleNote:
    """Notes the trouble of one writer. Methods raise `loadstone.stream.client.FAILURES`.

    ``pause_s`` is the longest pause between two tries.
    """

    def __init__(self, client: Redis, writer: str, *, pause_s: float, now_ns: Callable[[], int]) -> None:
        self._client = client
        self._writer = writer
        self._life_s = pause_s + _OUTLIVES_S
        self._now_ns = now_ns
        self._since_ns = 0

    def failed(self, answer: WriteAnswer) -> None:
        """A write got nowhere."""
        self._since_ns = self._since_ns or self._now_ns()
        trouble = WriterTrouble(
            writer=self._writer,
            reason=answer.reason,
            refused=answer.outcome is WriteOutcome.REFUSED,
            status=answer.status,
            since_ns=self._since_ns,
        )
        life_s = str(round(self._life_s + (answer.retry_after_s or 0)))
        text = msgspec.json.encode(trouble)
        command_when_full(self._client, INFLUX_TROUBLE, "SET", INFLUX_TROUBLE, text, "EX", life_s)

    def over(self) -> None:
        """InfluxDB takes this writer's lines again. A note of another writer stays."""
        self._since_ns = 0
        noted = read_trouble(self._client)
        if noted and noted.writer == self._writer:
            self._client.delete(INFLUX_TROUBLE)


def read_trouble(client: Redis) -> WriterTrouble | None:
    """The trouble of a writer; None when there is none. Raises `loadstone.stream.client.FAILURES`."""
    return _decoded(client.get(INFLUX_TROUBLE), WriterTrouble)


def read_first_rejected(client: Redis, run: str) -> FirstRejected | None:
    """The first rejected line of a run. Raises `loadstone.stream.client.FAILURES`."""
    return _decoded(client.get(influx_rejected(run)), FirstRejected)


def note_first_rejected(pipeline: Any, run: str, first: FirstRejected) -> None:
    """Keep a line as the first one of its run, unless there is one, with the next execution of the pipeline."""
    pipeline.set(influx_rejected(run), msgspec.json.encode(first), ex=KEPT_S, nx=True)


def cure_of_refusal(status: int) -> str:
    """What to do when InfluxDB takes nothing: after an answer with this status, or none (0)."""
    if status in _CURES:
        return _CURES[status]
    if not status:
        return "Start InfluxDB, or correct --influx-url"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
        return "Correct --influx-url: what answers there does not take line protocol"
    return "See the log of InfluxDB"


def cure_of_rejection(reason: str) -> str:
    """What to do when InfluxDB does not accept lines for this reason."""
    if is_beyond_retention(reason):
        return "Raise the retention of the bucket (INFLUX_RETENTION in the stack), then backfill the run"
    if "conflict" in reason or "column type" in reason:
        return "The bucket holds other data under the names of loadstone's measurements: give loadstone its own bucket"
    return "The lines are in the stream dead_letters:influx of Redis"


def _decoded(text: Any, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.MsgspecError:
        return None  # of another version: it expires
