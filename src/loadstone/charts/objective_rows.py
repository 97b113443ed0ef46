"""The rows of the table of objectives: as they stand while a run lasts, and as they were judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.charts.page_data import ObjectiveRow
from loadstone.domain.objective import Outcome, margin_pct, parse_objective

if TYPE_CHECKING:
    from loadstone.archive.run_record import ObjectiveRecord
    from loadstone.domain.live import LiveObjective

__all__ = ["judged_objective", "live_objective"]


def live_objective(found: LiveObjective) -> ObjectiveRow:
    """How an objective stands over the newest minute of the window."""
    judged = parse_objective(found.text)
    return ObjectiveRow(
        text=found.text,
        result=Outcome.of(found.ok),
        value=found.value,
        limit=judged.limit,
        unit=found.unit,
        margin_pct=margin_pct(judged.operator, judged.limit, found.value),
        interval=None,
        reason=found.reason,
    )


def judged_objective(found: ObjectiveRecord, interval: str | None = None) -> ObjectiveRow:
    """How an objective of a closed run came out, with the interval of its value if there is one."""
    return ObjectiveRow(
        text=found.text,
        result=Outcome.of(found.ok),
        value=found.value,
        limit=found.limit,
        unit=found.unit,
        margin_pct=margin_pct(found.operator, found.limit, found.value),
        interval=interval,
        reason=found.reason,
    )
