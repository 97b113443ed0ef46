"""A board: rows of panels on Grafana's grid of 24 columns, its variables, annotations and links to the other boards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from boards import sdk
from boards.sdk import models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ALIGNED_RANGE", "RANGE", "Board", "Row"]

COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39
"""The newest that file provisioning takes as it is."""
RANGE: Final = ("now-30m", "now")
ALIGNED_RANGE: Final = ("2100-01-01T00:00:00.000Z", "2100-01-01T00:30:00.000Z")
"""Where ``rollup_aligned`` puts the beginning of every run, and the half-hour after it."""
_REFRESH: Final = ("1s", "2s", "5s", "10s", "30s", "1m")
_PLACES: Final = {
    "loadstone-run": "Run",
    "loadstone-endpoint": "Endpoint",
    "loadstone-runs": "Runs",
    "loadstone-compare": "Compare",
    "loadstone-capacity": "Containers and capacity",
    "loadstone-health": "Generator and telemetry health",
}
_OTHER_TIME: Final = frozenset({"loadstone-compare", "loadstone-runs"})
"""Boards whose time range is another than that of one run: links to and from them do not carry it along."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, with a height in Grafana's units of 30 pixels; each has its width in columns."""

    height: int
    panels: Sequence[tuple[int, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    description: str
    variables: Sequence[Any]
    rows: Sequence[Row]
    annotations: Sequence[Any] = ()
    range: tuple[str, str] = RANGE
    refresh: str = "5s"
    tags: tuple[str, ...] = field(default=("loadstone",))

    @property
    def title(self) -> str:
        """Its name."""
        return _PLACES[self.uid]

    def build(self) -> models.Dashboard:
        """The dashboard as the SDK has it, ids and places filled in."""
        made = sdk.dashboard.Dashboard(self.title).uid(self.uid).description(self.description)
        made.tags(list(self.tags)).timezone("browser").time(*self.range).refresh(self.refresh).readonly()
        made.timepicker(sdk.dashboard.TimePicker().refresh_intervals(list(_REFRESH)))
        made.tooltip(models.DashboardCursorSync.CROSSHAIR)
        made.variables(list(self.variables)).annotations(list(self.annotations)).links(list(self._links()))
        board = made.build()
        board.schema_version = SCHEMA_VERSION
        board.panels = list(self._placed())
        return board

    def _placed(self) -> Iterator[models.Panel]:
        number = y = 0
        for row in self.rows:
            x = 0
            for width, builder in row.panels:
                number += 1
                panel: models.Panel = builder.build()
                _without_footer(panel)
                panel.id_val = number
                panel.grid_pos = models.GridPos(h=row.height, w=width, x=x, y=y)
                x += width
                yield panel
            if x != COLUMNS:
                raise ValueError(f"{self.uid}: a row is {x} columns wide, not {COLUMNS}")
            y += row.height

    def _links(self) -> Iterator[Any]:
        for uid, title in _PLACES.items():
            if uid != self.uid:
                link = sdk.dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(f"/d/{uid}")
                link.icon("dashboard").tooltip(f"Open the board {title}").as_dropdown(False).target_blank(False)
                yield link.include_vars(True).keep_time(not {uid, self.uid} & _OTHER_TIME)


def _without_footer(panel: models.Panel) -> None:
    """The SDK gives tables a footer that Grafana's own types no longer know."""
    options: Any = panel.options
    if panel.type_val == "table":
        options.footer = None
