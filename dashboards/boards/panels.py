"""Builders of the panel types that the boards use. Each takes a title, a one-sentence description, and a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from boards import sdk
from boards.influx import SOURCE, QueryBuilder
from boards.sdk import common, common_models, models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boards.influx import Query

__all__ = [
    "BAD",
    "COUNT",
    "GOOD",
    "WARNING",
    "Column",
    "bars",
    "heatmap",
    "stat",
    "table",
    "text",
    "timeseries",
    "xychart",
]

P = TypeVar("P")
GOOD: Final = "green"
WARNING: Final = "yellow"
BAD: Final = "red"
NEUTRAL: Final = "text"
COUNT: Final = "locale"
"""The unit of counts that are compared: all of their digits, where "short" would show 2,548 and 2,546 as 2.55 K."""
Column = dict[str, Any]
"""Overrides for a column or series: ids of Grafana's field options with their values."""
Thresholds = tuple[tuple[float | None, str], ...]
_WRAPPED: Final[Column] = {"custom.minWidth": 64, "custom.wrapText": True, "custom.wrapHeaderText": True}
"""Columns may be narrow, in pixels, and show all of their text, so that a table fits into a window of 1280 pixels."""
_WORDS: Final[Column] = {"custom.filterable": True, "unit": "string"}
"""Only words have a filter in their column's header, where it takes as much space as a number.

With a unit of numbers, Grafana would show a word that looks like a number as one: the process 1082 as 1.08 K.
"""
_HIDDEN: Final[Column] = {
    "custom.hidden": True,  # for older Grafana
    "custom.hideFrom": {"viz": True, "legend": False, "tooltip": False},
}
_TIME_PX: Final = 185
_NUMBER_PX: Final = 88


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    columns: Mapping[str, Column] | None = None,
    stacked: bool = False,
    bars: bool = False,
    points: bool = False,
    low: float | None = 0,
    high: float | None = None,
    empty: str = "",
    axis: str = "",
    plain_names: bool = False,
) -> sdk.timeseries.Panel:
    """Draw values over time. ``points`` is for unconnected values, such as those of different runs.

    ``empty`` is shown instead of "No data", and ``axis`` beside the vertical axis. ``plain_names`` is for series that
    are named after service and container: the one called "target target-1" becomes "target 1".
    """
    panel = _configure(sdk.timeseries.Panel(), title, description, unit, queries, columns, low, high)
    if empty:
        panel.no_value(empty)
    if plain_names:
        rename = {"regex": r"/^(\S+) \1[- ](.+)$/", "renamePattern": "$1 $2"}
        panel.transformations([_transformation({"id": "renameByRegex", "options": rename})])
    if axis:
        panel.axis_label(axis)
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
    panel.legend(legend.placement(common_models.LegendPlacement.BOTTOM).show_legend(True).calcs([]))
    panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    panel.line_width(1).fill_opacity(60 if bars else 5).span_nulls(_gap_limit_ms(bars))
    panel.show_points(common_models.VisibilityMode.ALWAYS if points else common_models.VisibilityMode.AUTO)
    if bars:
        panel.draw_style(common_models.GraphDrawStyle.BARS)
    if points:
        panel.draw_style(common_models.GraphDrawStyle.POINTS).point_size(8)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    return panel


def _gap_limit_ms(bars: bool) -> bool | float:  # noqa: FBT001
    """Return the longest gap (ms) that a line bridges: a quiet second, which has no percentile, but not an outage."""
    return False if bars else 5000.0


def stat(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Thresholds = ((None, NEUTRAL),),
    field: str = "",
    mappings: Sequence[models.ValueMapping] = (),
    empty: str = "-",
    columns: Mapping[str, Column] | None = None,
    background: bool = False,
) -> sdk.stat.Panel:
    """Show one large value. ``field`` selects the column when the query returns several."""
    panel = _configure(sdk.stat.Panel(), title, description, unit, (query,), columns, None, None)
    shown = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    panel.reduce_options(shown.fields(f"/^{field}$/" if field else ""))
    colored = common_models.BigValueColorMode
    panel.color_mode(colored.BACKGROUND_SOLID if background else colored.VALUE)
    panel.graph_mode(common_models.BigValueGraphMode.NONE).text_mode(common_models.BigValueTextMode.VALUE)
    panel.thresholds(thresholds(steps)).mappings(list(mappings)).no_value(empty)
    return panel


def table(
    title: str,
    description: str,
    *queries: Query,
    columns: Mapping[str, Column] | None = None,
    unit: str = "short",
    hidden: Sequence[str] = ("Time",),
    sort: tuple[str, bool] | None = None,
    merged: bool = False,
    number_px: int = _NUMBER_PX,
    empty: str = "",
) -> sdk.table.Panel:
    """Show rows. ``hidden`` columns remain available to links; ``sort`` is a column, and whether to sort it descending.

    ``empty`` is shown instead of "No data". Columns of numbers are ``number_px`` wide, and those of words share the
    rest, unless ``columns`` says otherwise. ``merged`` joins the rows of several queries into one table by their common
    columns, without their times.
    """
    time = {} if "Time" in hidden or merged else {"Time": {"custom.width": _TIME_PX}}
    panel = sdk.table.Panel().override_by_regexp("/.*/", _properties(_WRAPPED))
    panel.override_by_field_type("number", _properties({"custom.width": number_px}))
    panel.override_by_field_type("string", _properties(_WORDS))
    _configure(panel, title, description, unit, queries, {**time, **(columns or {})}, None, None)
    for name in hidden:
        if name == "Time" and not merged:
            panel.override_by_name(name, _properties(_HIDDEN))
        elif name != "Time":
            panel.override_by_name(name, _properties({**_HIDDEN, "unit": "none"}))  # links need all digits
    if merged:
        drop = {"id": "filterFieldsByName", "options": {"exclude": {"names": ["Time"]}}}
        panel.transformations([_transformation(drop), _transformation({"id": "merge", "options": {}})])
    if empty:
        panel.no_value(empty)
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort[0]).desc(sort[1])])
    panel.show_header(True).filterable(False).cell_options(common_models.TableAutoCellOptions())
    return panel


def heatmap(title: str, description: str, unit: str, query: Query) -> sdk.heatmap.Panel:
    """Show counts per bucket over time: each column is a bucket, named after its upper bound in ``unit``."""
    models_ = sdk.heatmap_models
    panel = _configure(sdk.heatmap.Panel(), title, description, "short", (query,), None, None, None)
    panel.calculate(False).rows_frame(
        sdk.heatmap.RowsHeatmapOptions().value("requests").layout(common_models.HeatmapCellLayout.LE)
    )
    colors = sdk.heatmap.HeatmapColorOptions().mode(models_.HeatmapColorMode.SCHEME).scheme("Oranges")
    panel.color(colors.scale(models_.HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64).fill("dark-orange"))
    panel.y_axis(sdk.heatmap.YAxisConfig().unit(unit)).cell_gap(1).show_legend()
    panel.tooltip(sdk.heatmap.HeatmapTooltip().mode(common_models.TooltipDisplayMode.SINGLE).y_histogram(True))
    return panel.cell_values(sdk.heatmap.CellValues().unit("short"))


def xychart(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    x: str,
    x_unit: str,
    y: Sequence[str],
    columns: Mapping[str, Column] | None = None,
) -> sdk.xychart.Panel:
    """Plot columns against another one, one point per row: each column ``y`` is a series, of the query that has it."""
    of_x = {x: {"unit": x_unit}}
    panel = _configure(sdk.xychart.Panel(), title, description, unit, queries, {**of_x, **(columns or {})}, 0, None)
    matched = sdk.xychart_models
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST).show_legend(len(y) > 1)
    panel.mapping(matched.SeriesMapping.MANUAL).series([_xy_series(x, each) for each in y])
    panel.legend(legend.placement(common_models.LegendPlacement.BOTTOM).calcs([]))
    panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.SINGLE))
    return panel.show(matched.XYShowMode.POINTS)


def _xy_series(x: str, y: str) -> sdk.xychart.XYSeriesConfig:
    named = sdk.xychart.MatcherConfig
    series = sdk.xychart.XYSeriesConfig().x(
        sdk.xychart.XychartXYSeriesConfigX().matcher(named().id("byName").options(x))
    )
    return series.y(sdk.xychart.XychartXYSeriesConfigY().matcher(named().id("byName").options(y)))


def bars(title: str, description: str, unit: str, query: Query) -> sdk.bargauge.Panel:
    """Compare the latest values of several series as bars."""
    panel = _configure(sdk.bargauge.Panel(), title, description, unit, (query,), None, 0, None)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.orientation(common_models.VizOrientation.HORIZONTAL).display_mode(common_models.BarGaugeDisplayMode.BASIC)
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST).show_legend(False)
    panel.legend(legend.placement(common_models.LegendPlacement.BOTTOM).calcs([]))
    return panel.thresholds(thresholds(((None, "blue"),)))


def text(title: str, description: str, content: str) -> sdk.text.Panel:
    """Show Markdown text."""
    panel = sdk.text.Panel().title(title).description(description).datasource(SOURCE).unit("none")
    return panel.mode(sdk.text_models.TextMode.MARKDOWN).content(content)


def thresholds(steps: Thresholds) -> sdk.dashboard.ThresholdsConfig:
    """Make thresholds from lower bounds and colors; the first bound is None."""
    built = [models.Threshold(value=value, color=color) for value, color in steps]
    return sdk.dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(built)


def words(colors: Mapping[str, str]) -> list[models.ValueMapping]:
    """Map words to colors."""
    options = {word: models.ValueMappingResult(text=word, color=color) for word, color in colors.items()}
    return [models.ValueMap(options=options)]


def ranges(*spans: tuple[float | None, float | None, str, str]) -> list[models.ValueMapping]:
    """Map ranges of values to words and colors: from, to, word, color."""
    return [
        models.RangeMap(
            options=models.DashboardRangeMapOptions(
                from_val=low, to=high, result=models.ValueMappingResult(text=word, color=color)
            )
        )
        for low, high, word, color in spans
    ]


def _configure(
    builder: P,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    columns: Mapping[str, Column] | None,
    low: float | None,
    high: float | None,
) -> P:
    panel: Any = builder  # the builders of all panel types have these methods, but no common type
    panel.title(title).description(description).datasource(SOURCE).unit(unit)
    panel.targets([QueryBuilder(query) for query in queries])
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
    for name, column in (columns or {}).items():
        if name.startswith("/"):
            panel.override_by_regexp(name, _properties(column))
        else:
            panel.override_by_name(name, _properties(column))
    return builder


def _properties(column: Column) -> list[models.DynamicConfigValue]:
    return [models.DynamicConfigValue(id_val=key, value=value) for key, value in column.items()]


def _transformation(values: Mapping[str, Any]) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=values["id"], options=values["options"])
