"""A picture of requests to a server that stalls, one panel for each model of users, made of recorded runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Panel", "picture"]

WIDTH, HEIGHT, GAP = 420, 230, 80
LEFT, TOP = 70, 60
STEP_MS: Final = 250
STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2937 } .title { font-weight: 600; font-size: 15px }
.axis { stroke: #9ca3af; stroke-width: 1 } .grid { stroke: #e5e7eb } .small { fill: #6b7280; font-size: 12px }
path { fill: none; stroke: #2563eb; stroke-width: 3; stroke-linecap: round; opacity: .55 }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb } .small { fill: #9ca3af } .grid { stroke: #374151 } path { stroke: #60a5fa }
}
"""


class Panel(NamedTuple):
    """Requests of one run: when they were to begin (s) and their response times (ms), and what stands above them."""

    title: str
    below: str
    at_s: NDArray[np.float64]
    took_ms: NDArray[np.float64]


def picture(panels: Sequence[Panel], seconds: float, most_ms: float) -> str:
    """An SVG of the first ``seconds`` of each panel, up to ``most_ms``."""
    size = f"{LEFT + len(panels) * (WIDTH + GAP) - GAP // 2} {TOP + HEIGHT + 50}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">', f"<style>{STYLE}</style>"]
    for number, panel in enumerate(panels):
        place = f'<g transform="translate({LEFT + number * (WIDTH + GAP)},{TOP})">'
        parts += [place, *_panel(panel, seconds, most_ms), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, seconds: float, most_ms: float) -> list[str]:
    lines = [f'<text class="title" y="-34">{panel.title}</text>', f'<text class="small" y="-14">{panel.below}</text>']
    for ms in range(0, int(most_ms) + 1, STEP_MS):
        y = HEIGHT * (1 - ms / most_ms)
        lines.append(f'<line class="grid" x2="{WIDTH}" y1="{y:.0f}" y2="{y:.0f}"/>')
        lines.append(f'<text class="small" x="-8" y="{y + 4:.0f}" text-anchor="end">{ms:,} ms</text>')
    for second in range(int(seconds) + 1):
        x = WIDTH * second / seconds
        lines.append(f'<text class="small" x="{x:.0f}" y="{HEIGHT + 20}" text-anchor="middle">{second} s</text>')
    lines.append(f'<line class="axis" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    shown = (panel.at_s >= 0) & (panel.at_s < seconds)
    across, up = WIDTH * panel.at_s[shown] / seconds, HEIGHT * (1 - panel.took_ms[shown] / most_ms)
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(across.tolist(), up.tolist(), strict=True))
    return [*lines, f'<path d="{dots}"/>']
