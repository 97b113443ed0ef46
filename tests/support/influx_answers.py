"""Doubles of the ways in which InfluxDB 1.x, 2.x and 3 Core answer a write with lines that they do not accept.

They are no databases: each says what its model says, in the words that a real 1.6.7 and 2.9.1 gave, that 1.12 and 2.7
have in ``tsdb/shard.go`` and ``coordinator/points_writer.go``, or that the documentation of 3 Core prints. A line is
beyond retention when its timestamp is below ``KEPT_SINCE_NS``, in conflict when it gives ``m`` a float field ``v``, and
cannot be parsed when it ends in ``v=``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from loadstone.influx.answer import WriteAnswer, WriteOutcome, answer_of

KEPT_SINCE_NS = 1_000_000
GOOD = "m v={}i {}"
Judged = dict[str, list[str]]
Says = Callable[[list[str], Judged], tuple[int, dict[str, object]] | None]


def old(number: int) -> str:
    """A line beyond retention."""
    return f"m v={number}i {number}"


def good(number: int) -> str:
    """A line that is accepted."""
    return f"m v={number}i {KEPT_SINCE_NS + number}"


def conflicting(number: int) -> str:
    """A line whose field has another type than it had before."""
    return f"m v={number}.5 {KEPT_SINCE_NS + number}"


def unreadable(number: int) -> str:
    """A line that cannot be parsed, and that holds what InfluxDB's own texts hold."""
    return f"m,name=dropped\\=9\\ '{number}':\\ x v= {KEPT_SINCE_NS + number}"


def _judge(lines: list[str]) -> Judged:
    judged: Judged = {"old": [], "conflict": [], "unreadable": []}
    for line in lines:
        if " v= " in line:
            judged["unreadable"].append(line)
        elif int(line.rpartition(" ")[2]) < KEPT_SINCE_NS:
            judged["old"].append(line)
        elif re.search(r" v=[\d.]+ ", line):
            judged["conflict"].append(line)
    return judged


def _conflict(n: int) -> str:
    kinds = "is type float, already exists as type integer"
    return f'partial write: field type conflict: input field "v" on measurement "m" {kinds} dropped={n}'


def _parse_errors(lines: list[str]) -> str:
    return "\n".join(f"unable to parse '{line}': missing field value" for line in lines)


def one_six(lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """1.6.7, tried: one reason only, and what cannot be parsed is reported last, with a count of 0."""
    if len(bad["unreadable"]) == len(lines):
        return 400, {"error": _parse_errors(lines)}
    if bad["conflict"]:
        return 400, {"error": _conflict(len(bad["conflict"]))}
    if bad["old"]:
        return 400, {"error": f"partial write: points beyond retention policy dropped={len(bad['old'])}"}
    if bad["unreadable"]:
        return 400, {"error": f"partial write: {_parse_errors(bad['unreadable'])} dropped=0"}
    return None


def one_twelve(lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """1.12: as before, with the bounds, the database and the retention policy."""
    answer = one_six(lines, bad)
    if answer and not bad["conflict"] and bad["old"]:
        return 400, {"error": f"partial write: {_retention(bad['old'], 'loadstone')}"}
    return answer


def two_nine(_lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """2.9.1, tried: nothing is kept of a request that cannot be parsed; otherwise one reason is reported."""
    if bad["unreadable"]:
        return 400, {"code": "invalid", "message": _parse_errors(bad["unreadable"])}
    if bad["conflict"]:
        return _unprocessable(_conflict(len(bad["conflict"])))
    if bad["old"]:
        return _unprocessable(f"partial write: {_retention(bad['old'], 'd1f5b1e7c0a84f2b')}")
    return None


def two_zero(lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """2.0: a partial write is an internal error (500)."""
    if bad["unreadable"]:
        return two_nine(lines, bad)
    answer = one_six(lines, bad)
    message = f"unexpected error writing points to database: {answer[1]['error']}" if answer else ""
    return (500, {"code": "internal error", "message": message}) if answer else None


def three_core(lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """3 Core: the good lines are kept, and each wrong one is listed; it has no retention that refuses points."""
    wrong = {*bad["conflict"], *bad["unreadable"]}
    data = [
        {"original_line": line[:9], "line_number": number, "error_message": "invalid column type for column 'v'"}
        for number, line in enumerate(lines, 1)
        if line in wrong
    ]
    return (400, {"error": "partial write of line protocol occurred", "data": data}) if data else None


def three_core_whole(lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """3 Core with ``accept_partial=false``: nothing is kept, and the first wrong line is named."""
    answer = three_core(lines, bad)
    data = answer[1]["data"] if answer else []
    assert isinstance(data, list)
    return (400, {"error": "parsing failed for write_lp endpoint", "data": data[0]}) if data else None


def speechless(_lines: list[str], bad: Judged) -> tuple[int, dict[str, object]] | None:
    """A server that rejects a request as a whole and does not say why."""
    return (422, {"code": "invalid", "message": "bad request"}) if any(bad.values()) else None


def _unprocessable(text: str) -> tuple[int, dict[str, object]]:
    return 422, {"code": "unprocessable entity", "message": f"failure writing points to database: {text}"}


def _retention(lines: list[str], database: str) -> str:
    series = "request,method=GET,name=/" + "x" * 60 + ",ok=t,run=20261127-050000-checkout,worker=0"
    moment = "2026-11-20T08:00:00.000000001Z dropped because it violates a Retention Policy Lower Bound at"
    ends = ", ".join(f"{end} point {series} at {moment} 2026-11-24T08:00:00Z" for end in ("oldest", "newest"))
    counted = f"dropped {len(lines)} points outside retention policy of duration 72h0m0s - {ends}"
    return f"{counted} dropped={len(lines)} for database: {database} for retention policy: autogen"


KEEPS_NOTHING = frozenset({three_core_whole, speechless})


class AnsweringSink:
    """A sink that answers as one of the models, and keeps what that model would keep."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self.requests: list[list[str]] = []
        self.kept: set[str] = set()

    def write(self, lines: bytes) -> WriteAnswer:
        """Judge the lines of one request."""
        sent = lines.decode().split("\n")
        self.requests.append(sent)
        bad = _judge(sent)
        wrong = {line for some in bad.values() for line in some}
        if self._says in {three_core, three_core_whole}:
            wrong -= set(bad["old"])
        answer = self._says(sent, bad)
        nothing = self._says in KEEPS_NOTHING or (self._says in {two_nine, two_zero} and bad["unreadable"])
        if answer is None or not nothing:
            self.kept |= set(sent) - wrong
        return answer_of(answer[0], json.dumps(answer[1])) if answer else WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        """Nothing here needs a token."""
        raise AssertionError
