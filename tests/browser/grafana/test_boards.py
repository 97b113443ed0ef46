"""Every board as Grafana's own libraries draw it: nothing fails, is empty, wrong, without its unit, or cut off."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from support.boards.view import View
from support.grafana_faults import (
    cut_texts,
    empty_panels,
    idle_overrides,
    unreadable_names,
    wrong_values,
    wrong_workings,
)
from support.grafana_kinds import expected_rows, kind_of
from support.grafana_queries import BOARDS, board, with_hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.grafana_page import Drawn

NAMES = [path.stem.removeprefix("loadstone-") for path in sorted(BOARDS.glob("*.json"))]
OF_GONE_RUNS = ("Trials", "What the trials used")


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dark(name: str, views, draw) -> dict[str, Drawn]:
    """The board in a small window, dark, for each viewer."""
    return {viewer: draw(board(f"loadstone-{name}"), shown) for (of, viewer), shown in views.items() if of == name}


@pytest.fixture(scope="module")
def nothing(name: str, views, draw) -> Drawn:
    """The board of runs and studies that InfluxDB does not have."""
    shown = next(shown for (of, _), shown in views.items() if of == name)
    unknown = {"run": "none", "baseline": "none", "runs": ("none",), "study": "none"}
    return draw(board(f"loadstone-{name}"), replace(shown, variables={**shown.variables, **unknown}))


@pytest.fixture(scope="module")
def large(name: str, views, draw) -> Drawn:
    """The board in a large window, light."""
    shown = next(shown for (of, _), shown in views.items() if of == name)
    return draw(board(f"loadstone-{name}"), shown, width=1920, dark=False)


@pytest.fixture(scope="module")
def expected(name: str, views, facts, board_runs) -> dict[str, Any]:
    """What the archive gives, for each viewer."""
    uid = f"loadstone-{name}"
    shown = {
        viewer: with_hidden(uid, board_runs.influx.query, each) for (of, viewer), each in views.items() if of == name
    }
    return {viewer: expected_rows(board(uid), View(facts, each)) for viewer, each in shown.items()}


@pytest.fixture(scope="module")
def drawings(dark, large, nothing) -> dict[str, Drawn]:
    """All of them."""
    return {**dark, "large and light": large, "nothing": nothing}


def faults(drawings: dict[str, Drawn], of: Callable[[Drawn], list[str]]) -> str:
    """What is wrong with any of the drawings, one line each."""
    return "\n".join(f"{viewer}: {each}" for viewer, drawn in drawings.items() for each in of(drawn))


def test_no_panel_fails_or_has_options_that_grafana_does_not_know(drawings):
    assert faults(drawings, partial(wrong_workings, gone=OF_GONE_RUNS)) == ""


def test_every_override_matches_a_field_of_one_of_the_runs(dark):
    assert set.intersection(*(idle_overrides(drawn) for drawn in dark.values())) == set()


def test_no_panel_is_empty_while_there_are_data(dark, expected):
    assert [each for viewer, drawn in dark.items() for each in empty_panels(drawn, expected[viewer])] == []


def test_the_shown_values_are_those_of_the_archive_in_their_unit(name, views, dark, expected):
    uid = f"loadstone-{name}"
    for viewer, drawn in dark.items():
        wrong = wrong_values(board(uid), views[name, viewer], drawn, expected[viewer], kind_of)
        assert not wrong, "\n".join([viewer, *wrong[:20]])


def test_legends_are_names_for_people(drawings):
    assert faults(drawings, unreadable_names) == ""


def test_nothing_is_cut_off(drawings):
    assert faults(drawings, cut_texts) == ""
