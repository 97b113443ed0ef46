"""Errors that are put into a board on purpose: the checks of its drawing find each of them."""

from __future__ import annotations

from copy import deepcopy
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
from support.grafana_queries import board

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.chromium import Browser
    from support.grafana_page import Drawn, HarnessPages

Panel = dict[str, Any]


def override(panel: Panel, name: str) -> dict[str, Any]:
    return next(each for each in panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == name)


def set_property(panel: Panel, name: str, key: str, value: Any) -> None:
    next(each for each in override(panel, name)["properties"] if each["id"] == key)["value"] = value


def wrong_field_name_in_an_override(panel: Panel) -> None:
    override(panel, "failed")["matcher"]["options"] = "failures in percent"


def seconds_instead_of_milliseconds(panel: Panel) -> None:
    panel["fieldConfig"]["defaults"]["unit"] = "s"


def share_instead_of_percent_in_a_column(panel: Panel) -> None:
    set_property(panel, "failed", "unit", "percentunit")


def unit_that_does_not_exist(panel: Panel) -> None:
    panel["fieldConfig"]["defaults"]["unit"] = "millis"


def dropped_column(panel: Panel) -> None:
    panel["transformations"][0]["options"]["exclude"]["names"].append("p95")


def rows_that_are_not_merged(panel: Panel) -> None:
    del panel["transformations"][1]


def columns_hidden_for_older_grafana_only(panel: Panel) -> None:
    for each in panel["fieldConfig"]["overrides"]:
        each["properties"] = [one for one in each["properties"] if one["id"] != "custom.hideFrom"]


def dates_as_short_numbers(panel: Panel) -> None:
    set_property(panel, "from_ms", "unit", "short")


def option_that_does_not_exist(panel: Panel) -> None:
    panel["fieldConfig"]["defaults"]["custom"]["lineThickness"] = 2


def no_alias(panel: Panel) -> None:
    del panel["targets"][0]["alias"]


def service_before_the_name_of_its_container(panel: Panel) -> None:
    del panel["transformations"]


def narrow_column(panel: Panel) -> None:
    set_property(panel, "method", "custom.width", 20)


def narrow_panel(panel: Panel) -> None:
    panel["gridPos"]["w"] = 1


def figure_that_shrinks(panel: Panel) -> None:
    panel["fieldConfig"]["defaults"]["mappings"][0]["options"]["inconclusive"]["text"] = (
        "inconclusive, nothing is known"
    )


def filter_that_lets_nothing_through(panel: Panel) -> None:
    panel["transformations"] = [{"id": "filterByRefId", "options": {"include": "Z"}}]


OF_A_RATE = ("byName service p95", "byRegexp /^service /")
"""Overrides for columns that only a run with a rate has."""
SEEDED = [
    ("run", "Requests by name", wrong_field_name_in_an_override, "override byName failures in percent"),
    ("run", "Latency", seconds_instead_of_milliseconds, "mean shows"),
    ("run", "Run p95", seconds_instead_of_milliseconds, "p95 shows"),
    ("run", "Requests by name", share_instead_of_percent_in_a_column, "no row shows"),
    ("run", "Latency", unit_that_does_not_exist, "unknown unit millis"),
    ("run", "Requests by name", dropped_column, "columns ['p95'] are missing"),
    ("run", "Requests by name", rows_that_are_not_merged, "not drawn"),
    ("runs", "All runs", columns_hidden_for_older_grafana_only, "['from_ms', 'to_ms'] too many"),
    ("runs", "All runs", dates_as_short_numbers, "link "),
    ("run", "Latency", option_that_does_not_exist, "unknown field option custom.lineThickness"),
    ("run", "CPU of each container", no_alias, "legend container."),
    ("run", "Memory of each container", service_before_the_name_of_its_container, "legend balancer balancer"),
    ("run", "Errors", narrow_column, "too wide"),
    ("run", "Active users", narrow_panel, "Active users: "),
    ("run", "Verdict", figure_that_shrinks, "px high"),
    ("run", "Failed requests", filter_that_lets_nothing_through, "empty"),
]


@pytest.mark.parametrize(
    ("name", "title", "seed", "told"), SEEDED, ids=lambda value: getattr(value, "__name__", None) or str(value)
)
def test_an_error_in_a_board_is_found(
    name: str, title: str, seed: Callable[[Panel], None], told: str, views, draw, facts
):
    right = only(board(f"loadstone-{name}"), title)
    wrong = deepcopy(right)
    seed(wrong["panels"][0])
    shown = next(shown for (of, _), shown in views.items() if of == name)
    expected = expected_rows(right, View(facts, shown))
    assert found_in(right, shown, draw(right, shown), expected) <= {f"{title}: override {each}" for each in OF_A_RATE}
    found = found_in(right, shown, draw(wrong, shown), expected)
    assert any(each.startswith(title) and told in each for each in found), found


RESTLESS = "void setInterval(() => document.querySelector('[data-panel]')?.append(document.createComment('')), 10)"


def test_a_board_that_never_stops_changing_is_found(browser: Browser, harness: HarnessPages, board_runs, views):
    found, shown = only(board("loadstone-run"), "Active users"), views["run", "a run"]
    with browser.page() as page:
        harness.open(page)
        page.evaluate(RESTLESS)
        drawn = harness.draw(page, found, board_runs.influx, shown, width=1280, dark=True)
    assert "Active users: did not settle" in wrong_workings(drawn)


def only(board: dict[str, Any], title: str) -> dict[str, Any]:
    """The board with one panel."""
    return {**board, "panels": [each for each in board["panels"] if each["title"] == title]}


def found_in(board: dict[str, Any], shown: Any, drawn: Drawn, expected: Any) -> set[str]:
    """All that the checks say of a drawing."""
    found = [*wrong_workings(drawn), *idle_overrides(drawn), *unreadable_names(drawn), *cut_texts(drawn)]
    return {*found, *empty_panels(drawn, expected), *wrong_values(board, shown, drawn, expected, kind_of)}
