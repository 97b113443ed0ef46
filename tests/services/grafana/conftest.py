"""Three real runs in a real InfluxDB, made once for all tests of the boards' queries."""

from __future__ import annotations

from support.board_fixtures import board_runs, facts

__all__ = ["board_runs", "facts"]
