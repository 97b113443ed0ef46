"""What viewers of the boards look at: a run, a time range, and choices of the variables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from support.board_studies import limits_study
from support.boards.run_board import epoch_ms
from support.grafana_queries import ALL, Shown

if TYPE_CHECKING:
    from support.boards.facts import Facts

__all__ = ["ALIGNED_MS", "aligned", "of_paced", "whole"]

ALIGNED_MS: Final = 4_102_444_800_000
"""Where time begins for runs that are laid over each other."""


def whole(facts: dict[str, Facts], run: str) -> Shown:
    """A viewer who came by the verdict's link: ten seconds before the start to five after the end, all chosen."""
    others = tuple(each for each in facts if each != run)
    variables: dict[str, str | tuple[str, ...]] = {
        "run": run, "baseline": others[0], "runs": (run, *others), "name": ALL, "service": ALL, "res": "1",
        "objective": "500", "study": limits_study(facts[run]), "replicas": "2",
    }  # fmt: skip
    from_ms, to_ms = _span_ms(facts[run])
    return Shown(from_ms=from_ms, to_ms=to_ms, variables=variables)


def of_paced(facts: dict[str, Facts], run: str, paced: str) -> Shown:
    """The viewer of everything, of the run with a rate."""
    shown, (from_ms, to_ms) = whole(facts, run), _span_ms(facts[paced])
    return replace(shown, from_ms=from_ms, to_ms=to_ms, variables={**shown.variables, "run": paced})


def aligned(facts: dict[str, Facts], run: str) -> Shown:
    """The viewer of a board whose time counts from the beginning of each run, as such a board opens."""
    return replace(whole(facts, run), from_ms=ALIGNED_MS, to_ms=ALIGNED_MS + 1_800_000)


def _span_ms(run: Facts) -> tuple[int, int]:
    """Ten seconds before the start of a run, and five after its end."""
    return epoch_ms(run.document["started_at"]) - 10_000, epoch_ms(run.document["ended_at"]) + 5_000
