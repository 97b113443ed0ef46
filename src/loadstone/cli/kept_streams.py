"""Streams that earlier starts of loadstone had to keep, as ``loadstone recover`` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.cli.common import StopFlag, recover_command, say, warn
from loadstone.errors import InterruptedBySignal, PlatformError, StorageError
from loadstone.launch.kept_stream import drain
from loadstone.launch.stream_store import StreamFolder, kept_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Recovered", "read_kept_streams"]


@dataclass(slots=True)
class Recovered:
    """The runs that were closed with what was kept, and whether something is left, which was told."""

    closed: list[str] = field(default_factory=list)
    is_left: bool = False


def read_kept_streams(results: Path, stream: str | None, wanted: str | None) -> Recovered:
    """Put what is kept for these results, or in the folder ``stream``, into its runs.

    ``wanted``: only where a run is whose id begins so. What cannot be read or archived is told in a line each, and is
    still kept then. Raises `UsageError` when ``stream`` is none, `StorageError` when the disk takes nothing and a run
    is ``wanted``, and `InterruptedBySignal`.
    """
    kept = [StreamFolder.open(Path(stream))] if stream else kept_streams(results.resolve())
    recovered = Recovered()
    with StopFlag.installed() as stopped:
        try:
            while kept:
                for line in _read(kept.pop(0), results, stopped, wanted, recovered):
                    warn(line)
                if stopped():
                    raise InterruptedBySignal
        finally:
            for each in kept:
                each.release()
    return recovered


def _read(
    kept: StreamFolder, results: Path, stopped: Callable[[], bool], wanted: str | None, recovered: Recovered
) -> Iterator[str]:
    """Read one stream; what there is to say about what is left."""
    say(f"reading the stream that is kept in {kept.path}")
    try:
        drained = drain(kept, results, stopped, wanted)
    except (PlatformError, StorageError) as error:
        if wanted is not None and isinstance(error, StorageError):
            raise
        recovered.is_left = True
        yield str(error)
        return
    recovered.closed += drained.closed
    if drained.others:
        yield f"{kept.path} holds nothing of it; `{recover_command(kept.results)}` archives {', '.join(drained.others)}"
    if drained.left or drained.refused:
        recovered.is_left = True
        what = drained.left or "the journals have everything, but not every file could be written"
        reasons = "; ".join(f"run {run}: {reason}" for run, reason in drained.refused.items())
        again = f"`{recover_command(kept.results)}` tries again; remove {kept.path} only to give up what it holds"
        yield f"{what}: {reasons or again}"
