"""The page about CSV names exactly the columns that an export has, in their order."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from loadstone.report.export import FormatName, What, export
from support.closed_runs import MadeRun

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "csv.md"


@pytest.mark.parametrize("what", What)
def test_the_page_names_the_columns_of_an_export(tmp_path: Path, what: What):
    file = io.BytesIO()
    export(MadeRun().close(tmp_path), what, FormatName.CSV, file, lambda _: None)
    header = file.getvalue().decode().splitlines()[0].replace('"', "").split(",")
    section = PAGE.read_text().split(f"### {what}\n")[1].partition("\n#")[0]
    table = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", "".join(table) or section) == header
