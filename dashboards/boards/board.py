"""A board: rows of panels on Grafana's grid of 24 columns, with variables, annotations and links to other boards."""

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
"""The newest version that file provisioning accepts without migration."""
RANGE: Final = ("now-30m", "now")
ALIGNED_RANGE: Final = ("2100-01-01T00:00:00.000Z", "2100-01-01T00:30:00.000Z")
"""The first half-hour of the epoch at which ``rollup_aligned`` starts every run."""
_REFRESH: Final = ("1s", "2s", "5s", "10s", "30s", "1m")
_TITLES: Final = {
    "loadstone-run": "Run",
    "loadstone-endpoint": "Endpoint",
    "loadstone-runs": "Runs",
    "loadstone-compare": "Compare",
    "loadstone-capacity": "Containers and capacity",
    "loadstone-study": "Capacity study",
    "loadstone-health": "Generator and telemetry health",
}
_OWN_TIME_RANGE: Final = frozenset({"loadstone-compare", "loadstone-runs", "loadstone-study"})
"""Boards whose time range is not that of one run: links to and from them do not keep the time range."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side: the row's height in Grafana's units of 30 pixels, and each panel's width in columns."""

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
    has_picture: bool = True

    @property
    def title(self) -> str:
        """The title that Grafana shows."""
        return _TITLES[self.uid]

    def build(self) -> models.Dashboard:
        """Build the SDK's dashboard, with panel ids and grid positions."""
        builder = sdk.dashboard.Dashboard(self.title).uid(self.uid).description(self.description)
        builder.tags(list(self.tags)).timezone("browser").time(*self.range).refresh(self.refresh).readonly()
        builder.timepicker(sdk.dashboard.TimePicker().refresh_intervals(list(_REFRESH)))
        builder.tooltip(models.DashboardCursorSync.CROSSHAIR)
        builder.variables(list(self.variables)).annotations(list(self.annotations)).links(list(self._links()))
        board = builder.build()
        board.schema_version = SCHEMA_VERSION
        board.panels = list(self._positioned_panels())
        return board

    def _positioned_panels(self) -> Iterator[models.Panel]:
        panel_id = y = 0
        for row in self.rows:
            x = 0
            for width, builder in row.panels:
                panel_id += 1
                panel: models.Panel = builder.build()
                _remove_footer(panel)
                panel.id_val = panel_id
                panel.grid_pos = models.GridPos(h=row.height, w=width, x=x, y=y)
                x += width
                yield panel
            if x != COLUMNS:
                raise ValueError(
                    f"{self.uid}: the panels of a row are {x} columns wide in total; they must fill {COLUMNS}"
                )
            y += row.height

    def _links(self) -> Iterator[Any]:
        for uid, title in _TITLES.items():
            if uid != self.uid:
                link = sdk.dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(f"/d/{uid}")
                link.icon("dashboard").tooltip(f"Open the board {title}").as_dropdown(False).target_blank(False)
                yield link.include_vars(True).keep_time(not {uid, self.uid} & _OWN_TIME_RANGE)


def _remove_footer(panel: models.Panel) -> None:
    """Remove the footer that the SDK adds to tables; Grafana's own types no longer have it."""
    options: Any = panel.options
    if panel.type_val == "table":
        options.footer = None
