"""Makefile, .ci/run, CONTRIBUTING and the folders of tests name the same tiers."""

from __future__ import annotations

import re

from support.tiers import ROOT, Target, targets, tiers

TESTS = ROOT / "tests"


def steps() -> list[str]:
    """The targets that CI makes, in order."""
    return re.findall(r"^step make (\S+)(?: > .*&)?$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


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


def test_ci_waits_for_the_servers_before_the_first_tier_that_needs_them():
    text = (ROOT / ".ci" / "run").read_text()
    assert text.index("step make servers ") < text.index('wait "$servers"') < text.index("step make test-services")


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
