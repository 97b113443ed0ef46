"""One Locust file, run with plain ``locust`` and with ``loadstone run``, each against a server of its own that counts.

`Threefold.compare` gives a `Comparison`: what each said, and what each one's server received. ``equal()`` compares the
two request name by request name, with the servers' counts and with the archive::

    compared = threefold.compare(source, "-u", "3")
    compared.equal(requests=15)
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from support.locust_figures import Row
from support.plain_locust import TIMEOUT_S
from support.sides import LATENCY_MS, RUN_TIME, Outcome, Sides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.loadstone_run import LoadstoneRun

__all__ = ["PRELUDE", "RUN_TIME", "Comparison", "Outcome", "Row", "Threefold", "Tried", "visitor"]

TIME_TOLERANCE_MS = 2000.0
"""How far apart two measured means or medians may be while both programs and others share two cores; if one mean has
the server's latency in it, the other has to be at least `LEAST_MEAN_MS`. It finds a wrong unit or a missing time. What
finds less are times that the file states itself."""
LEAST_MEAN_MS = 1.0
STEP_NS = 50_000_000
"""A machine's clock that was set by more than this during a comparison makes loadstone's verdict another one."""
ROUNDED = 0.06
"""Locust rounds what its percentiles are made of to two digits, loadstone's histogram is exact to 0.4 %."""
PRELUDE = '''
import gevent
from locust import *


@events.init.add_listener
def count_run_time_from_now(**_):
    # Locust counts it from before the imports, which take seconds on a busy machine.
    gevent.get_hub().loop.update_now()


def few(count):
    """Let each user do ``count`` tasks, 10 ms apart, and then wait until the test ends."""

    def wait_time(user):
        user.tasks_done = getattr(user, "tasks_done", 0) + 1
        return 0.01 if user.tasks_done < count else 3600

    return wait_time
'''
"""What most sources of the tests begin with; the result is one ordinary Locust file."""


def visitor(path: str, times: int) -> str:
    """A Locust file whose users each get one path so many times."""
    return f"""{PRELUDE}

class Visitor(HttpUser):
    wait_time = few({times})

    @task
    def get(self):
        self.client.get("{path}")
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both outcomes, and loadstone's run with its folder."""

    locust: Outcome
    loadstone: Outcome
    run: LoadstoneRun

    @property
    def both(self) -> tuple[Outcome, Outcome]:
        """Plain Locust's outcome, and loadstone's."""
        return self.locust, self.loadstone

    def equal(self, *, requests: int | None = None, stated: bool = False, unseen: bool = False) -> Self:
        """Assert that both say the same: counts, failures, error texts, exceptions, times, and the servers' counts.

        ``requests`` is what both must come to, ``stated`` says that times are the file's own and have to be equal,
        ``unseen`` that requests go elsewhere or are made up, so that the servers' counts say nothing.
        """
        wanted, got = self.locust, self.loadstone
        said = f"{wanted.output[-2000:]}\n{got.output[-2000:]}"
        assert got.requests == (wanted.requests if requests is None else requests), said
        got.like(wanted)
        if not unseen:
            assert got.count.total == got.requests, said
        self.archived()
        self.timed_alike(exactly=stated)
        return self

    def equal_below(self, path: str, *, requests: int, failures: int = 0, stated: bool = False) -> None:
        """Assert the same of the requests whose names begin with ``path``, for files that hold several kinds."""
        wanted, got = self.locust.below(path), self.loadstone.below(path)
        got.like(wanted)
        assert (got.requests, got.failures) == (requests, failures), got.by_name()
        replace(self, locust=wanted, loadstone=got).timed_alike(exactly=stated)

    def archived(self) -> None:
        """Assert that archive, its ledger, and Locust's master have the requests that are shown."""
        found = self.run.run_json()
        ledger = found["ledgers"]["archive"]
        counts = {"rows": self.run.rows(), "locust": found["locust"]["requests"], "stored": ledger["stored"]}
        assert counts == dict.fromkeys(counts, self.loadstone.requests), self.loadstone.output
        assert found["locust"]["failures"] == found["failures"] == self.loadstone.failures
        assert (ledger["dropped"], ledger["unknown"]) == (0, 0)

    def timed_alike(self, *, exactly: bool) -> None:
        """Assert that mean and median of each request name agree."""
        for name, wanted in self.locust.rows.items():
            got = self.loadstone.rows[name]
            for ours, theirs in ((got.mean_ms, wanted.mean_ms), (got.median_ms, wanted.median_ms)):
                rounding = 1.0 + ROUNDED * theirs  # Locust's summary has whole milliseconds
                assert abs(ours - theirs) <= (rounding if exactly else TIME_TOLERANCE_MS), (name, got, wanted)
            means = (got.mean_ms, wanted.mean_ms)
            assert exactly or max(means) < LATENCY_MS or min(means) >= LEAST_MEAN_MS, (name, got, wanted)

    def verdict(self, verdict: str, *, plain: int, reason: str = "") -> Self:
        """Assert loadstone's verdict with the exit code that belongs to it, and plain Locust's exit code."""
        found = self.run.run_json()
        said = self.loadstone.output
        assert found["verdict"] == verdict, (found["reasons"], said)
        assert self.loadstone.exit_code == {"pass": 0, "fail": 1, "inconclusive": 3}[verdict], said
        assert self.locust.exit_code == plain, self.locust.output
        assert plain == 0 or verdict != "pass"
        assert reason in " ".join(found["reasons"]), found["reasons"]
        return self

    def passed(self) -> Self:
        """Assert that plain Locust exits with 0 and loadstone passes."""
        return self.verdict("pass", plain=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A start that may have been refused: exit code and all output."""

    exit_code: int
    output: str


@dataclass
class Threefold:
    """Runs Locust files both ways in folders of its own; close it to end what it started."""

    new_folder: Callable[[str], Path]
    stack: ExitStack = field(default_factory=ExitStack)

    def compare(
        self,
        source: str | Path,
        *options: str,
        plain: Sequence[str] = (),
        ours: Sequence[str] = (),
        **how: Any,
    ) -> Comparison:
        """Run a source text or a file both ways at the same time; ``{host}`` in an option is each one's own server.

        ``plain`` and ``ours`` are options for one of the two; see `Sides` for the rest. It is done again if this
        machine's clock was set meanwhile, as virtual machines do that were paused.
        """
        while True:
            clock_ns = _clock_ns()
            compared = self._compare(source, options, plain=plain, ours=ours, **how)
            if abs(_clock_ns() - clock_ns) < STEP_NS:
                return compared

    def _compare(
        self,
        source: str | Path,
        options: Sequence[str],
        *,
        plain: Sequence[str],
        ours: Sequence[str],
        **how: Any,
    ) -> Comparison:
        sides = Sides(self, source, **how)
        given = sides.options(options)
        locust = sides.start_locust(*given, *plain, *sides.run_time("locust", (*given, *plain)))
        run = sides.start_loadstone(*given, *ours, *sides.run_time("loadstone", (*given, *ours)))
        loadstone = sides.loadstone_outcome(run)
        return Comparison(locust=sides.locust_outcome(locust), loadstone=loadstone, run=run)

    def try_both(self, source: str | Path, *options: str, **how: Any) -> tuple[Tried, Tried]:
        """Start both ways what at least one of the two may refuse; plain Locust's answer, and loadstone's."""
        sides = Sides(self, source, **how)
        given = sides.options(options)
        locust = sides.start_locust(*given)
        run = sides.start_loadstone(*given)
        said, _ = locust.communicate(timeout=TIMEOUT_S)
        code = run.finish(TIMEOUT_S)
        return Tried(exit_code=locust.returncode, output=said), Tried(exit_code=code, output=run.output)


def _clock_ns() -> int:
    """How far the wall clock is from the one that is never set."""
    return time.time_ns() - time.monotonic_ns()
