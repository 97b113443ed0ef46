"""run.json on disk: the one place where a `RunRecord` is read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from loadstone.archive.digests import RUN_SEAL
from loadstone.archive.folder import RunFolder, replace_file
from loadstone.archive.plain_file import check_plain_file, unreadable
from loadstone.archive.run_record import FORMAT_VERSION, RunRecord
from loadstone.domain.time import parse_iso_ns
from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["decode_record", "encode_record", "is_of_other_format", "read_record", "read_text", "write_record"]

_EMPTY_DIGEST: Final = b'"digest": ""\n}'

_MOST_BYTES: Final = 32 * 1024 * 1024
"""A run with 500 names and 50,000 incarnations has less than that."""
_LAST_NS: Final = (1 << 63) - 1


def read_record(folder: RunFolder) -> RunRecord:
    """The content of a run's run.json.

    Raises `UnreadableRunError` when the run is not closed, or its run.json is damaged or of a format not known here.
    """
    return decode_record(read_text(folder), folder)


def decode_record(text: bytes, folder: RunFolder) -> RunRecord:
    """The content of a text that was the run.json of a run. Raises as `read_record` does."""
    if is_of_other_format(text):
        raise _other_format(text, folder)
    try:
        record = _checked(msgspec.json.decode(text, type=RunRecord))
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, str(error)) from error
    is_whole = RUN_SEAL.holds(text)
    if is_whole or (is_whole is None and not (record.digest or record.files)):
        return record
    raise _damaged(folder, "its content does not match its digest, so it was changed after it was written")


def is_of_other_format(text: bytes) -> bool:
    """Whether a run.json is of a version that writes another format, rather than damaged."""
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (ValueError, RecursionError):
        return False
    return head.format != FORMAT_VERSION and RUN_SEAL.holds(text) is not False


def read_text(folder: RunFolder) -> bytes:
    """The bytes of a run's run.json. Raises `UnreadableRunError` when it is not closed, or the file cannot be read."""
    try:
        check_plain_file(folder.run_json, _rebuild(folder), most_bytes=_MOST_BYTES)
        return folder.run_json.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableRunError(
            f"run {folder.run} is not closed: {folder.run_json} is missing",
            hint=f"Wait until the run has ended, or run `{folder.command('recover')}`",
        ) from error
    except PermissionError as error:
        raise unreadable(folder.run_json, error, "Check the permissions of the run folder") from error
    except OSError as error:
        raise unreadable(folder.run_json, error, _rebuild(folder)) from error


def _checked(record: RunRecord) -> RunRecord:
    """The record, if its times are times; raises `ValueError` otherwise."""
    sent = (each for one in record.incarnations for each in (one.first_sent_at, one.last_sent_at, one.lost_at))
    stalls = (worker.longest_stall_at for worker in record.worker_health)
    for moment in (record.started_at, record.ended_at, record.closed_at, *sent, *stalls):
        if moment is not None:
            parse_iso_ns(moment)
    window = record.window
    if max(abs(window.start_ns), abs(window.end_ns)) > _LAST_NS:
        raise ValueError(f"its window is from {window.start_ns} to {window.end_ns}")
    return record


def _rebuild(folder: RunFolder) -> str:
    return f"Delete it and run `{folder.command('recover')}`, which builds it again from the run's journal"


def write_record(folder: RunFolder, record: RunRecord) -> None:
    """Replace a run's run.json: readers see the old or the new one. Raises `OSError` when it cannot be written."""

    def write(path: Path) -> None:
        path.write_bytes(encode_record(record))

    replace_file(folder.run_json, write)


def encode_record(record: RunRecord) -> bytes:
    """A record as indented JSON with its digest; NaN and infinities, which JSON does not have, become null."""
    record = replace(record, digest="")
    try:
        text = msgspec.json.encode(record)
    except UnicodeEncodeError:
        text = msgspec.json.encode(_encodable(msgspec.to_builtins(record)))
    return RUN_SEAL.put(msgspec.json.format(text, indent=2).removesuffix(_EMPTY_DIGEST))


def _other_format(text: bytes, folder: RunFolder) -> UnreadableRunError:
    head = msgspec.json.decode(text, type=_Head)
    writer = head.versions.get("loadstone")
    return UnreadableRunError(
        f"{folder.run_json} has format {head.format}"
        f"{f', written by loadstone {writer}' if writer else ''}; this version reads format {FORMAT_VERSION}",
        hint="Read this run with the version of loadstone that wrote it, or a newer one",
    )


def _damaged(folder: RunFolder, problem: str) -> UnreadableRunError:
    return UnreadableRunError(f"{folder.run_json} is damaged: {problem}", hint=folder.cure)


class _Head(msgspec.Struct):
    """What every version of run.json says about itself."""

    format: int
    versions: dict[str, str] = {}


def _encodable(value: Any) -> Any:
    """A JSON value whose texts have question marks in place of lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list | tuple) else value
