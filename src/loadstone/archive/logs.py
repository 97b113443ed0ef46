"""Logs of the processes that ran a load test: the end of each is kept, without secrets and escape sequences."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import replace_file
from loadstone.domain.masking import mask_long_text
from loadstone.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LOG_LIMIT", "keep_logs", "make_room"]

LOG_LIMIT: Final = 1024 * 1024
"""Bytes that are kept of the end of each log."""


def keep_logs(folder: Path, logs: Mapping[Path, range]) -> None:
    """Write ``folder/NAME.log`` for the bytes in these ranges of logs; empty ones are left out. Raises `OSError`."""
    for log, part in logs.items():
        text = _end_of(log, part)
        if text:
            folder.mkdir(parents=True, exist_ok=True)
            data = printable(mask_long_text(text)).encode()
            replace_file(folder / log.name, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]


def make_room(parent: Path, keep: int) -> None:
    """Remove all folders of logs but the newest ``keep``; their names sort by time."""
    for folder in sorted(path for path in parent.iterdir() if path.is_dir())[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def _end_of(log: Path, part: range) -> str:
    """The last `LOG_LIMIT` bytes of a part of a log, from the beginning of a line."""
    start = max(part.start, part.stop - LOG_LIMIT)
    with log.open("rb") as file:
        file.seek(start)
        data = file.read(part.stop - start)
    text = data.decode("utf-8", "replace")
    if start == part.start:
        return text
    left_out = f"[the first {start - part.start:,} bytes are left out]{os.linesep}"
    return left_out + text[text.find("\n") + 1 :]
