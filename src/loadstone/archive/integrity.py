"""The records of run.json that tell whether its folder is whole, and what a salvaged one lacks."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["ContentsRecord", "DamageRecord", "FileDigest", "MissingRecord", "SalvageRecord"]

_Count = Annotated[int, Meta(ge=0)]


class ContentsRecord(Struct, frozen=True, kw_only=True, rename={"incarnations": "boots"}):
    """How much the run's journal held when the run was closed: an archive never gets less when it is closed again."""

    requests: _Count
    batches: _Count
    incarnations: Annotated[_Count, Meta(description="Those of which a batch came.")]
    events: Annotated[_Count, Meta(description="Lines of events.jsonl.")]
    usage_ticks: _Count
    usage_rows: Annotated[_Count, Meta(description="Rows of usage.parquet.")]


class FileDigest(Struct, frozen=True, kw_only=True):
    """What a file of the run folder was when the run was closed."""

    bytes: Annotated[_Count, Meta(description="Its length; a segment of the journal may have grown since.")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="Of that many bytes.")]


class DamageRecord(Struct, frozen=True, kw_only=True):
    """A part of a journal in which no whole entry was found."""

    file: Annotated[str, Meta(description="Name of the segment.")]
    start: Annotated[_Count, Meta(description="Offset of its first byte.")]
    end: Annotated[
        _Count | None,
        Meta(description="Offset behind its last byte; null if the segment is missing, or cannot be read."),
    ]


class MissingRecord(Struct, frozen=True, kw_only=True, rename={"incarnation": "boot"}):
    """What a salvaged archive lacks of one incarnation."""

    incarnation: str
    worker: int
    batches: Annotated[_Count, Meta(description="That are missing for certain, by their numbers.")]
    seqs: Annotated[
        tuple[tuple[int, int], ...], Meta(description="The first and last number of each gap between its batches.")
    ]
    requests: Annotated[_Count, Meta(description="That are missing for certain: produced, neither stored nor dropped.")]
    final: Annotated[bool, Meta(description="Whether its last batch is there; if not, more may be missing.")]


class SalvageRecord(Struct, frozen=True, kw_only=True):
    """From which run an archive was salvaged, and what it lacks."""

    run: Annotated[str, Meta(description="Id of the run with the damaged journal.")]
    damage: tuple[DamageRecord, ...]
    missing: tuple[MissingRecord, ...]
    events: Annotated[_Count, Meta(description="Events that are missing for certain, by their numbers.")]
    usage_ticks: Annotated[_Count, Meta(description="Usage ticks that are missing for certain, by their numbers.")]
    ended: Annotated[bool, Meta(description="Whether the event `stopped` is there; if not, the end may be missing.")]
    silent_workers: Annotated[
        tuple[int, ...], Meta(description="Workers that took part in the run and of which nothing is left.")
    ]
