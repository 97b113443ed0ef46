"""Streams that earlier starts of loadstone had to keep, as ``loadstone recover`` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.cli.common import StopFlag, say
from loadstone.errors import PlatformError
from loadstone.launch.kept_stream import drain
from loadstone.launch.stream_store import StreamFolder, kept_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_kept_streams"]


def read_kept_streams(results: Path, stream: str | None) -> Sequence[str]:
    """Put what is kept for these results, or in the folder ``stream``, into its runs. The runs that are closed now.

    Raises `LoadstoneError` when something of it cannot be read or archived; it is still kept then.
    """
    kept = [StreamFolder.open(Path(stream))] if stream else kept_streams(results.resolve())
    if not kept:
        return []
    stopped, closed, refused = StopFlag.install(), list[str](), dict[str, str]()
    try:
        while kept:
            say(f"reading the stream that is kept in {kept[0].path}")
            drained = drain(kept.pop(0), results, stopped)
            closed += drained.closed
            refused |= drained.refused
    finally:
        for each in kept:
            each.release()
    if refused:
        reasons = "; ".join(f"run {run}: {reason}" for run, reason in refused.items())
        raise PlatformError(f"the journal has everything, but the run could not be closed: {reasons}")
    return closed
