"""Reading the text that a Prometheus endpoint serves."""

from __future__ import annotations

import re

__all__ = ["metric"]


def metric(text: str, series: str) -> float:
    """One value of Prometheus text; ``series`` is its name with its labels, as it is written there."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{series} is not in:\n{text}"
    return float(found.group(1))
