"""What a salvaged archive lacks: found by the numbers of batches, events and ticks, and by the run.json of an archive.

Batches are numbered from 0 without gaps, and each one tells how many requests its worker had produced. What is missing
behind the last whole batch of an incarnation is known only where the run was closed before the journal was damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.archive.integrity import MissingRecord, SalvageRecord
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.run_state import IncarnationState
from loadstone.domain.counted import times
from loadstone.domain.doubt import time_text, workers_text
from loadstone.domain.ledger import IncarnationLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.archive.integrity import DamageRecord
    from loadstone.archive.run_record import IncarnationRecord, RunRecord

__all__ = ["damage_texts", "losses_text", "note_losses"]

_BE: Final = {True: "is", False: "are"}


def note_losses(run: str, found: FirstPass, known: RunRecord | None, damage: Sequence[DamageRecord]) -> SalvageRecord:
    """Note in the ledgers of the incarnations what is missing of them, and say everything that is missing.

    ``known`` is the run.json of the run's archive, None if it was never closed or cannot be read.
    """
    archived = {each.incarnation: each for each in known.incarnations if each.first_sent_at} if known else {}
    for each in archived.values():
        _recall(found, each)
    ledgers = found.state.ledgers()
    for ledger in ledgers:
        ledger.damaged = max(0, ledger.missing)
    missing = [_missing(ledger, archived.get(ledger.incarnation)) for ledger in ledgers]
    before = known.contents if known else None
    events = max(found.state.missing(EntryKind.EVENTS), before.events - found.events if before else 0)
    ticks = max(found.state.missing(EntryKind.USAGE), before.usage_ticks - found.usage_ticks if before else 0)
    return SalvageRecord(
        run=run,
        damage=tuple(damage),
        missing=tuple(each for each in missing if each.batches or each.requests or not each.final),
        events=events,
        usage_ticks=ticks,
        ended=found.state.lifecycle.stopped_ns is not None,
        silent_workers=tuple(sorted(found.state.silent_workers)),
    )


def damage_texts(found: FirstPass, salvage: SalvageRecord | None) -> list[str]:
    """Sentences on what a journal lacks: what was salvaged of it, its end, and entries that could not be read."""
    texts = losses_text(salvage) if salvage else []
    if found.state.master_lost and found.state.newest_ns:
        texts.append(
            f"the journal ends at {time_text(found.state.newest_ns)} without the end of the run; "
            "what came later than 30 s after that is not counted as unknown"
        )
    return [*texts, f"{found.unread} journal entries could not be read"] if found.unread else texts


def losses_text(salvage: SalvageRecord) -> list[str]:
    """What a salvaged archive lacks, in sentences."""
    lost = [*map(_damage_text, salvage.damage), *map(_missing_text, salvage.missing)]
    if salvage.silent_workers:
        lost.append(f"nothing is left of {workers_text(salvage.silent_workers)}")
    for count, what in ((salvage.events, "event"), (salvage.usage_ticks, "usage tick")):
        if count:
            lost.append(f"{times(count, f'{what} is', f'{what}s are')} missing")
    return lost


def _recall(found: FirstPass, known: IncarnationRecord) -> None:
    """Give an incarnation the totals that the archive knows, if the journal has lost its last batches or all of it."""
    incarnations = found.state.incarnations
    if known.incarnation not in incarnations:
        ledger = IncarnationLedger(incarnation=known.incarnation, worker=known.worker)
        incarnations[known.incarnation] = IncarnationState(ledger)
    ledger = incarnations[known.incarnation].ledger
    if known.produced >= ledger.produced:
        ledger.produced, ledger.dropped = known.produced, known.dropped
        ledger.aborted, ledger.final = known.aborted, known.final


def _missing(ledger: IncarnationLedger, archived: IncarnationRecord | None) -> MissingRecord:
    gaps = ledger.seqs.gaps(first=0)
    batches = sum(last - first + 1 for first, last in gaps)
    return MissingRecord(
        incarnation=ledger.incarnation,
        worker=ledger.worker,
        batches=max(batches, archived.batches - len(ledger.seqs) if archived else 0),
        seqs=tuple(gaps),
        requests=max(0, ledger.missing),
        final=ledger.final,
    )


def _damage_text(damage: DamageRecord) -> str:
    if damage.end is None:
        return f"segment {damage.file} of the journal is missing, or cannot be read"
    if damage.end == 0:
        return f"segment {damage.file} of the journal is empty"
    return f"segment {damage.file} of the journal holds no whole entry from byte {damage.start} to byte {damage.end}"


def _missing_text(missing: MissingRecord) -> str:
    name = f"worker {missing.worker} ({missing.incarnation})" if missing.incarnation else f"worker {missing.worker}"
    requests = times(missing.requests, "request", "requests")
    text = f"{times(missing.batches, 'batch', 'batches')} with {requests} of {name} {_BE[missing.batches == 1]} missing"
    return text if missing.final else f"{text}, and possibly more, for its last batch is not there"
