"""Every board as Grafana's own libraries draw it: nothing fails, is empty, wrong, without its unit, or cut off."""

from __future__ import annotations

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
IDLE: dict[str, set[str]] = {}
"""Overrides that match no field of any of these runs."""


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dark(name: str, views, draw) -> dict[str, Drawn]:
    """The board in a small window, dark, for each viewer."""
    return {viewer: draw(board(f"loadstone-{name}"), shown) for (of, viewer), shown in views.items() if of == name}


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


def faults(dark: dict[str, Drawn], large: Drawn, of: Callable[[Drawn], list[str]]) -> str:
    """What is wrong with any of the drawings, one line each."""
    drawings = {**dark, "large and light": large}
    return "\n".join(f"{viewer}: {each}" for viewer, drawn in drawings.items() for each in of(drawn))


def test_no_panel_fails_or_has_options_that_grafana_does_not_know(dark, large):
    assert faults(dark, large, partial(wrong_workings, gone=OF_GONE_RUNS)) == ""


def test_every_override_matches_a_field(name, dark):
    idle = set.intersection(*(idle_overrides(drawn) for drawn in dark.values()))
    assert idle == IDLE.get(name, set())


def test_no_panel_is_empty_while_there_are_data(dark, expected):
    assert [each for viewer, drawn in dark.items() for each in empty_panels(drawn, expected[viewer])] == []


def test_the_shown_values_are_those_of_the_archive_in_their_unit(name, views, dark, expected):
    uid = f"loadstone-{name}"
    for viewer, drawn in dark.items():
        wrong = wrong_values(board(uid), views[name, viewer], drawn, expected[viewer], kind_of)
        assert not wrong, "\n".join([viewer, *wrong[:20]])


def test_legends_are_names_for_people(dark, large):
    assert faults(dark, large, unreadable_names) == ""


def test_nothing_is_cut_off(dark, large):
    assert faults(dark, large, cut_texts) == ""
