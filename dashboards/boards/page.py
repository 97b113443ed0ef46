"""The reference page of the boards: a picture of each, and what every panel, variable and mark tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from boards.alerts import ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from boards.board import Board

__all__ = ["boards_page"]

_HEAD: Final = """# The Grafana boards

Six boards, linked with each other; run, variables and (where it means the same) the time range go along. This page is
made by `make dashboards` from `dashboards/boards`, as are the boards themselves, `dashboards/*.json`.
[How to use them](../how-to/grafana.md) tells the way in.

**About the pictures.** No Grafana was at hand where they were made. They show real results of the boards' own queries
after a real run, with failures and a worker that was killed, drawn with the charts of loadstone's report instead:
placing, colours and look are not Grafana's, dashed limits are plain lines, and users share the axis of requests. The
service `target` was measured; `balancer` is made up, to show limits, throttling and an out-of-memory kill
(`make dashboards-pictures` draws them again).
"""


def boards_page(boards: Sequence[Board]) -> str:
    """The page, Markdown."""
    return "\n".join([_HEAD, *(line for board in boards for line in _section(board)), *_alerts()])


def _section(board: Board) -> Iterator[str]:
    yield f"## {board.title}\n\n{board.description}\n"
    yield f"![The board {board.title}](../images/{board.uid}.png)\n"
    yield "| panel | unit | what it tells |\n|---|---|---|"
    built = board.build()
    for panel in built.panels or ():
        described: Any = panel
        if described.type_val != "text":
            yield f"| {described.title} | {described.field_config.defaults.unit} | {described.description} |"
    variables = [each for each in built.templating.list_val or () if not each.name.startswith("base_")]
    if variables:
        yield "\n| variable | what it is |\n|---|---|"
        yield from (f"| {each.label} | {each.description} |" for each in variables)
    yield ""


def _alerts() -> Iterator[str]:
    yield "## Alert rules\n\nProvisioned from `grafana/provisioning/alerting`; all of them watch the runs that go on.\n"
    yield "| alert | says | after |\n|---|---|---|"
    for alert in ALERTS:
        said = alert.summary.replace("{{ $labels.", "<").replace(" }}", ">")
        yield f"| {alert.title} | {said} | {alert.lasting} |"
    yield ""
