"""Makefile, .ci/run, CONTRIBUTING and the folders of tests name the same tiers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
BY_HAND = {"bench", "bench-dashboards"}
"""Targets that print tables rather than pass or fail; CI does not run them."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target of the Makefile that runs pytest: the places that it runs, and those inside of them that it leaves."""

    name: str
    runs: frozenset[str]
    leaves: frozenset[str]

    def covers(self, place: str) -> bool:
        """Tell whether the target runs the tests of a file or folder."""
        return within(place, self.runs) and not within(place, self.leaves)


def within(place: str, folders: frozenset[str]) -> bool:
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
    found = targets((ROOT / "Makefile").read_text())
    return [target for target in found if target.name not in BY_HAND | {"dashboards-pictures"}]


def steps() -> list[str]:
    """The targets that CI makes, in order."""
    return re.findall(r"^step make (\S+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def rows() -> dict[str, str]:
    """The lines of CONTRIBUTING's table of tiers, by target."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return dict(re.findall(r"^\| `make ([a-z-]+)` \|(.*)\|$", text, re.MULTILINE))


def test_the_targets_of_a_makefile_are_read():
    text = "a: b ## c\n\t@echo\n\t$(PY) -m pytest tests/one tests/two --ignore tests/two/x $(ARGS)\nd:\n\t$(PY) f.py\n"
    assert targets(text) == [Target("a", frozenset({"tests/one", "tests/two"}), frozenset({"tests/two/x"}))]
    assert targets(text)[0].covers("tests/two/y/test_it.py")
    assert not targets(text)[0].covers("tests/two/x/test_it.py")
    assert not targets(text)[0].covers("tests/twofold/test_it.py")


def test_every_file_of_tests_is_run_by_exactly_one_target():
    files = [str(path.relative_to(ROOT)) for path in TESTS.rglob("test_*.py")]
    assert len(files) > 50
    run_by = {file: [target.name for target in tiers() if target.covers(file)] for file in files}
    assert {file: names for file, names in run_by.items() if len(names) != 1} == {}


def test_every_place_that_a_target_names_exists():
    named = {place for target in tiers() for place in target.runs | target.leaves}
    assert {place for place in named if not (ROOT / place).exists()} == set()


def test_ci_runs_every_tier_once():
    assert sorted(steps()) == sorted({"servers", *(target.name for target in tiers())})


def test_contributing_lists_every_tier_with_its_folders_what_it_needs_and_its_seconds():
    table = rows()
    assert set(table) == {target.name for target in tiers()}
    for target in tiers():
        folders, needs, seconds = (cell.strip() for cell in table[target.name].split("|"))
        assert set(re.findall(r"`(tests/[\w/]+)`", folders)) == target.runs | target.leaves, target.name
        assert needs, target.name
        assert re.fullmatch(r"\d+ (s|min)", seconds), target.name
