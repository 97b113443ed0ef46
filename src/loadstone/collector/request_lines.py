"""The measurement ``request``: every sample of a batch as one line.

A line is a pure function of its batch and of the names that the run admits (`loadstone.collector.names`), so a batch
that is sent twice, or written by two writers, gives identical lines, which InfluxDB keeps once. No two samples of one
worker share a timestamp, because ends increase strictly within a boot; two workers differ by their tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.collector.lines import quoted, tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.domain.batch import Batch

__all__ = ["MEASUREMENT", "request_lines"]

MEASUREMENT: Final = "request"


def request_lines(batch: Batch, names: Sequence[tuple[str, str]]) -> list[str]:
    """One line per sample, in the order of the batch. ``names`` are the (method, name) to write for ``batch.names``.

    Fields: ``rt_ms`` float, ``ttfb_ms`` float where it is known, ``bytes`` int, ``status`` int, ``error`` text where
    the request failed. The timestamp is the end of the request.
    """
    # One prefix per name and outcome: what is left to format for a sample costs about a microsecond.
    passed = [_series(batch, name, "t") for name in names]
    failed = [_series(batch, name, "f") for name in names]
    errors = [f",error={quoted(text)}" for text in batch.errors]
    columns = batch.columns
    rows = zip(
        columns.end_ns.tolist(),
        (columns.duration_us / 1000).tolist(),
        (columns.ttfb_us / 1000).tolist(),
        columns.bytes.tolist(),
        columns.status.tolist(),
        columns.name.tolist(),
        columns.error.tolist(),
        strict=True,
    )
    return [
        f"{passed[name] if error < 0 else failed[name]}{rt_ms}{'' if ttfb_ms < 0 else f',ttfb_ms={ttfb_ms}'}"
        f",bytes={size}i,status={status}i{'' if error < 0 else errors[error]} {end_ns}"
        for end_ns, rt_ms, ttfb_ms, size, status, name, error in rows
    ]


def _series(batch: Batch, name: tuple[str, str], ok: str) -> str:
    method, text = name
    found = tags({"run": batch.run, "worker": batch.worker, "method": method, "name": text, "ok": ok})
    return f"{MEASUREMENT}{found} rt_ms="
