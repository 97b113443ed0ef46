"""What an archive holds, so that closing a run again never leaves it with less than it had.

A journal can be damaged, cut short, emptied or exchanged for that of another run after its run was closed. What an
undamaged part of it yields is compared with what the archive holds, by counts and for each incarnation.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from loadstone.archive.closed_run import RunTable
from loadstone.archive.events_file import decode_event_line
from loadstone.archive.plain_file import check_plain_file
from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import RunRecord

__all__ = ["less_than_archived", "refuse_less"]


def refuse_less(folder: RunFolder, known: RunRecord | None, found: FirstPass) -> None:
    """Raise `UnreadableRunError` with the counts of both if a run folder holds more than its journal yields."""
    less = less_than_archived(folder, known, found)
    if less:
        raise UnreadableRunError(
            f"run {folder.run} was not closed again, and nothing was changed: its journal yields "
            f"less than its archive holds: {', '.join(less)}",
            hint=f"Keep the folder as it is; `{folder.command('verify')}` shows what is damaged, and "
            f"`{folder.command('recover', '--salvage')}` writes what the journal holds to a folder of its own",
        )


def less_than_archived(folder: RunFolder, known: RunRecord | None, found: FirstPass) -> list[str]:
    """Of what a journal yields less than its run folder holds, each as "520 of 915 requests".

    ``known`` is its run.json, None where there is none that can be read.
    """
    before = _counted(known) | ({} if known and known.contents else _counted_in_files(folder))
    now = _contents(found)
    less = [f"{now[what]:,} of {count:,} {what}" for what, count in before.items() if now[what] < count]
    return less or _less_of_incarnations(known, found)


def _contents(found: FirstPass) -> dict[str, int]:
    return {key.replace("_", " "): count for key, count in msgspec.structs.asdict(found.contents).items()}


def _counted(known: RunRecord | None) -> dict[str, int]:
    if known is None:
        return {}
    if known.contents:
        return {key.replace("_", " "): count for key, count in msgspec.structs.asdict(known.contents).items()}
    incarnations = sum(1 for each in known.incarnations if each.first_sent_at)
    return {"requests": known.requests, "incarnations": incarnations}


def _counted_in_files(folder: RunFolder) -> dict[str, int]:
    """What the files of a closed run hold whose run.json does not tell it, as far as they can be read."""
    counts: dict[str, int] = {}
    if folder.is_closed:
        for what, path in (("requests", folder.requests), ("usage rows", folder.usage)):
            with suppress(UnreadableRunError):
                counts[what] = RunTable(path, folder.cure).rows
        with suppress(OSError, UnreadableRunError):
            check_plain_file(folder.events, folder.cure)
            counts["events"] = sum(_is_event(line) for line in folder.events.read_bytes().splitlines())
    return counts


def _is_event(line: bytes) -> bool:
    try:
        decode_event_line(line, "")
    except ValueError:
        return False
    return True


def _less_of_incarnations(known: RunRecord | None, found: FirstPass) -> list[str]:
    """The same by incarnation: the journal of another run may hold more in all."""
    now = found.state.incarnations
    return [
        f"{stored:,} of {each.stored:,} requests of worker {each.worker} ({each.incarnation})"
        for each in (known.incarnations if known else ())
        if (stored := now[each.incarnation].ledger.stored if each.incarnation in now else 0) < each.stored
    ]
