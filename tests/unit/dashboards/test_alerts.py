"""The provisioned alert rules: complete chains, unique names, and no accidental expansion by Grafana."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from boards.alerts import ALERTS
from boards.generate import ALERTS_FILE

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / ALERTS_FILE).read_text()


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    """The rules after Grafana has expanded the file: ``$$`` becomes a dollar."""
    (group,) = yaml.safe_load(TEXT.replace("$$", "$"))["groups"]
    assert group["folder"] == "loadstone"
    return list(group["rules"])


def test_every_dollar_is_doubled_so_that_grafana_expands_none():
    assert "$" in TEXT
    assert re.sub(r"\$\$", "", TEXT).count("$") == 0


def test_rules_have_unique_names(rules: list[dict[str, Any]]):
    assert len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules}) == len(rules) == len(ALERTS)


def test_there_are_alerts_for_failures_p95_memory_and_dropped_samples(rules: list[dict[str, Any]]):
    assert [rule["uid"] for rule in rules] == [
        "loadstone-failures",
        "loadstone-p95",
        "loadstone-memory",
        "loadstone-dropped",
    ]


def test_every_step_of_a_rule_refers_to_an_earlier_one_and_the_condition_is_the_last(rules: list[dict[str, Any]]):
    for rule in rules:
        seen: set[str] = set()
        for step in rule["data"]:
            assert step["refId"] == step["model"]["refId"]
            assert step["refId"] not in seen
            if step["datasourceUid"] == "__expr__":
                used = set(re.findall(r"\$\{(\w+)\}", step["model"]["expression"])) or {step["model"]["expression"]}
                assert used <= seen
            else:
                assert step["datasourceUid"] == "loadstone-influxdb"
                assert step["relativeTimeRange"]["from"] >= 60
            seen.add(step["refId"])
        assert rule["condition"] == rule["data"][-1]["refId"]


def test_a_summary_names_only_tags_that_its_queries_group_by(rules: list[dict[str, Any]]):
    for rule in rules:
        query = rule["data"][0]["model"]["query"]
        grouped = set(re.findall(r'"(\w+)"', query.partition("GROUP BY")[2]))
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= grouped
