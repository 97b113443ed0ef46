"""The generated files: the boards' JSON, the alert rules, and the reference page that describes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from boards.alerts import ALERTS, alert_file
from boards.capacity_board import CAPACITY_BOARD
from boards.compare_board import COMPARE_BOARD
from boards.endpoint_board import ENDPOINT_BOARD
from boards.health_board import HEALTH_BOARD
from boards.run_board import RUN_BOARD
from boards.runs_board import RUNS_BOARD
from boards.sdk import JSONEncoder
from boards.study_board import STUDY_BOARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from boards.board import Board

__all__ = ["ALERTS_FILE", "BOARDS", "PAGE_FILE", "rendered", "write"]

BOARDS: Final[tuple[Board, ...]] = (
    RUN_BOARD,
    ENDPOINT_BOARD,
    RUNS_BOARD,
    COMPARE_BOARD,
    CAPACITY_BOARD,
    STUDY_BOARD,
    HEALTH_BOARD,
)


PAGE_FILE: Final = "docs/reference/boards.md"
ALERTS_FILE: Final = "grafana/provisioning/alerting/loadstone.yaml"
_HEAD: Final = """# The Grafana boards

The seven boards link to each other. Links keep the selected run and variables, and the time range where it applies to
both boards. `make dashboards` generates this page and the boards (`dashboards/*.json`) from `dashboards/boards`.
[How to use the boards](../how-to/grafana.md) explains how to open them.

**About the pictures.** Grafana's own libraries drew them (`@grafana/ui` 13.2.3), not a Grafana server, from three real
runs, one of them with failures and a killed worker: `make dashboards-pictures`. The libraries have no heatmap, so its
values are a table, and no annotations. The target was a process without limits. *Capacity study* has no picture: its
results are of many runs.
"""


def rendered() -> dict[str, str]:
    """Return the text of each file by its path in the repository."""
    boards = {f"dashboards/{board.uid}.json": _text(board) for board in BOARDS}
    return {**boards, ALERTS_FILE: alert_file(), PAGE_FILE: _boards_page(BOARDS)}


def write(root: Path) -> None:
    """Write all files below the root of the repository."""
    for name, text in rendered().items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _text(board: Board) -> str:
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _boards_page(boards: Sequence[Board]) -> str:
    """Return the reference page in Markdown."""
    return "\n".join([_HEAD, *(line for board in boards for line in _section(board)), *_alerts()])


def _section(board: Board) -> Iterator[str]:
    yield f"## {board.title}\n\n{board.description}\n"
    if board.has_picture:
        yield f"![The board {board.title}](../images/{board.uid}.png)\n"
    yield "| panel | unit | what it shows |\n|---|---|---|"
    built = board.build()
    for panel in built.panels or ():
        described: Any = panel
        if described.type_val != "text":
            yield f"| {described.title} | {described.field_config.defaults.unit} | {described.description} |"
    variables = [each for each in built.templating.list_val or () if not each.name.startswith("base_")]
    if variables:
        yield "\n| variable | meaning |\n|---|---|"
        yield from (f"| {each.label} | {each.description} |" for each in variables)
    yield ""


def _alerts() -> Iterator[str]:
    yield "## Alert rules\n"
    yield "Grafana provisions these rules from `grafana/provisioning/alerting`; they watch runs in progress.\n"
    yield "| alert | message | fires after |\n|---|---|---|"
    for alert in ALERTS:
        message = alert.summary.replace("{{ $labels.", "<").replace(" }}", ">")
        yield f"| {alert.title} | {message} | {alert.pending} |"
    yield ""
