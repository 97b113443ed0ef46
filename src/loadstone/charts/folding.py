"""Which tables a page keeps closed until a reader opens them: those in which all is well."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from loadstone.domain.generator_doubts import BUSY_PCT, lag_limit_ms
from loadstone.domain.objective import parse_objective
from loadstone.domain.stall import FAILING_STALL_US
from loadstone.domain.time import US_PER_MS
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadstone.archive.run_record import ObjectiveRecord
    from loadstone.charts.page_data import WorkerRow
    from loadstone.domain.live import LiveObjective
    from loadstone.domain.objective import Objective

__all__ = ["folded_tables"]

_WELL: Final = frozenset({"ended", "running"})


def folded_tables(workers: Iterable[WorkerRow], objectives: Sequence[ObjectiveRecord | LiveObjective]) -> list[str]:
    """Ids of these tables; the one of workers is among them unless a worker was lost, lost requests or was overloaded.

    Workers are overloaded by the limits of `loadstone.domain.generator_doubts`.
    """
    limit_ms = lag_limit_ms([*_parsed(each.text for each in objectives)])
    return [] if any(_is_in_trouble(worker, limit_ms) for worker in workers) else ["workers"]


def _parsed(texts: Iterable[str]) -> Iterator[Objective]:
    for text in texts:
        with contextlib.suppress(UsageError):  # the verdict says what is wrong with it
            yield parse_objective(text)


def _is_in_trouble(worker: WorkerRow, lag_limit_ms: float) -> bool:
    return (
        worker.state not in _WELL
        or bool(worker.dropped or worker.unknown)
        or (worker.cpu_pct or 0.0) > BUSY_PCT
        or (worker.host_busy_pct or 0.0) > BUSY_PCT
        or (worker.lag_p99_ms or 0.0) > lag_limit_ms
        or (worker.longest_stall_ms or 0.0) >= FAILING_STALL_US / US_PER_MS
    )
