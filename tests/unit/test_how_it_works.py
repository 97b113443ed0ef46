"""The page that explains the code names modules that exist, and leaves no package out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "loadstone"
PAGE = (ROOT / "docs" / "explanation" / "how-it-works.md").read_text()
TABLE = PAGE.split("| box | module |")[1].split("\n\n")[0]
NAMED = [name for name in re.findall(r"`([^`]+)`", TABLE) if "/" in name or name.endswith((".yaml", ".py"))]


def test_every_module_of_the_table_exists():
    missing = [name for name in NAMED if not any(list(root.glob(name)) for root in (SOURCE, ROOT))]
    assert missing == []


def test_every_package_is_in_the_table():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages - {name.split("/")[0] for name in NAMED} == set()


def test_every_box_of_the_picture_has_a_row():
    for box in (
        "Recorder",
        "Shipper",
        "UsageSampler",
        "Aggregator",
        "Finalizer",
        "InfluxWriter",
        "live page",
        "Grafana",
    ):
        assert box in PAGE.split("```")[1]
        assert re.search(rf"^\| .*{box}", TABLE, re.MULTILINE), box
