"""Answers of InfluxDB to InfluxQL. A query that its user has no right to is answered with status 200 too."""

from __future__ import annotations

import msgspec

__all__ = ["has_rows"]


class _Series(msgspec.Struct, frozen=True):
    values: tuple[tuple[object, ...], ...] = ()


class _Result(msgspec.Struct, frozen=True):
    series: tuple[_Series, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...] = ()


def has_rows(answer: bytes) -> bool:
    """Whether an answer of ``/query`` holds any row: neither an error nor an empty result, nor something else."""
    try:
        results = msgspec.json.decode(answer, type=_Answer).results
    except msgspec.MsgspecError:
        return False
    return any(series.values for result in results for series in result.series)
