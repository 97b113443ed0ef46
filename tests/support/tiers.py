"""The targets of the Makefile that run tests, and the folders that each of them runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Target", "targets", "tier_of", "tiers"]

ROOT: Final = Path(__file__).resolve().parents[2]
BY_HAND: Final = {"bench", "bench-capacity", "bench-dashboards", "dashboards-pictures", "pictures"}
"""Targets that print tables or draw pictures rather than pass or fail; CI does not run them."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target of the Makefile that runs pytest: the places that it runs, and those inside of them that it leaves."""

    name: str
    runs: frozenset[str]
    leaves: frozenset[str]

    def covers(self, place: str) -> bool:
        """Tell whether the target runs the tests of a file or folder."""
        return _within(place, self.runs) and not _within(place, self.leaves)


def _within(place: str, folders: frozenset[str]) -> bool:
    return any(place == folder or place.startswith(f"{folder}/") for folder in folders)


def targets(makefile: str) -> list[Target]:
    """Every target whose recipe runs pytest on folders of tests."""
    found = []
    for name, recipe in re.findall(r"^([a-z-]+):.*\n((?:\t.*\n?)+)", makefile, re.MULTILINE):
        lines = [line for line in recipe.splitlines() if "pytest" in line]
        leaves = {place for line in lines for place in re.findall(r"--ignore[= ](tests/\S+)", line)}
        runs = {place for line in lines for place in re.findall(r"(?<!\S)(tests/\S+)", line)} - leaves
        if runs:
            found.append(Target(name, frozenset(runs), frozenset(leaves)))
    return found


def tiers() -> list[Target]:
    """The targets of this repository that pass or fail."""
    return [target for target in targets((ROOT / "Makefile").read_text()) if target.name not in BY_HAND]


def tier_of(place: str) -> str:
    """The target that runs the tests of a file."""
    return next(target.name for target in tiers() if target.covers(place))
