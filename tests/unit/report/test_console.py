"""How wide a table may be: as the terminal, as COLUMNS says, or as a log."""

from __future__ import annotations

import pytest

from loadstone.report.console import make_console


@pytest.mark.parametrize(
    ("columns", "width"),
    [
        pytest.param("60", 60, id="narrow"),
        pytest.param("200", 200, id="wide"),
        pytest.param(None, 120, id="not-set"),
        pytest.param("", 120, id="empty"),
        pytest.param("many", 120, id="no-number"),
        pytest.param("0", 120, id="nothing"),
    ],
)
def test_output_that_is_piped_is_as_wide_as_columns_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str | None, width: int
):
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width
