"""The batches of eight workers at full rate, for benchmarks."""

from __future__ import annotations

from typing import Final

import numpy as np

from loadstone.domain.batch import Batch, Columns, no_intents
from loadstone.domain.request_name import RequestName
from support import run_maker
from support.run_maker import SECOND, IncarnationMaker

__all__ = ["WORKERS", "Load"]

WORKERS: Final = 8
_NAMES: Final = 10
_SEED: Final = 7


class Load:
    """Batches as eight workers at full rate send them: log-normal times, ten names, 1 % errors."""

    def __init__(self, per_batch: int, run: str = "r") -> None:
        self.per_batch = per_batch
        self.incarnations = [IncarnationMaker(worker=number, run=run) for number in range(WORKERS)]
        self.random = np.random.default_rng(_SEED)
        self.names = tuple(RequestName("POST", f"/predict/{number}") for number in range(_NAMES))

    def batch(
        self, incarnation: IncarnationMaker, begin_ns: int, end_ns: int, name: RequestName | None = None
    ) -> Batch:
        """The next batch of an incarnation, whose samples end from ``begin_ns`` on, before ``end_ns``.

        All have this name, or each one of `names` at random.
        """
        n = self.per_batch
        base = incarnation.batch([], at_s=(end_ns - run_maker.START) / SECOND)
        incarnation.produced += n
        columns = Columns(
            end_ns=np.linspace(begin_ns, end_ns, n, endpoint=False, dtype=np.int64),
            duration_us=self.random.lognormal(9, 0.6, n).astype(np.int64),
            ttfb_us=self.random.lognormal(8, 0.5, n).astype(np.int32),
            bytes=np.full(n, 120, np.int64),
            status=np.full(n, 200, np.int32),
            name=self.random.integers(0, 1 if name else _NAMES, n, np.int32),
            error=np.where(self.random.random(n) < 0.01, 0, -1).astype(np.int32),
            late_us=no_intents(n),
        )
        values = {field: getattr(base, field) for field in Batch.__slots__}
        errors = ("HTTPError('503 Server Error')",)
        return Batch(
            **(
                values
                | {
                    "columns": columns,
                    "names": (name,) if name else self.names,
                    "errors": errors,
                    "produced": incarnation.produced,
                }
            )
        )
