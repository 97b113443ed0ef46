"""The files of a run folder, to be changed by a test as bit rot, a truncation or a person might change them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadstone.archive.digests import RUN_SEAL

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["flip", "snapshot", "without_digests", "write_document"]


def write_document(folder: RunFolder, document: dict[str, Any]) -> None:
    """Write a run.json that is whole, whatever it says."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(rest | {"digest": ""}, indent=2).encode()
    folder.run_json.write_bytes(RUN_SEAL.put(text.removesuffix(b'"digest": ""\n}')))


def without_digests(folder: RunFolder) -> RunFolder:
    """A run folder as version 0.1 would have closed it, in which nothing but its content tells a damaged file."""
    document = json.loads(folder.run_json.read_text())
    for key in ("contents", "salvage", "files", "digest"):
        document.pop(key, None)
    folder.run_json.write_text(json.dumps(document))
    return folder


def flip(path: Path, at: int, bits: int = 0x10) -> None:
    """Flip bits of one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


def snapshot(folder: RunFolder) -> dict[str, bytes]:
    """Every file below a run folder, hidden ones too, with its content."""
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
