"""The stack's Grafana finds boards, alerts and data source under the names that these use for each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from loadstone.grafana.push import DATA_SOURCE_UID, FOLDER_UID

ROOT = Path(__file__).parents[3]
PROVISIONING = ROOT / "grafana/provisioning"


def grafana() -> dict[str, Any]:
    """The service of the compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["grafana"]
    return found


def mounted(path: str) -> Path:
    """The file or folder of the repository that the container sees as ``path``."""
    for mount in grafana()["volumes"]:
        source, target, *_ = mount.split(":")
        if Path(target) in [Path(path), *Path(path).parents] and source.startswith("./"):
            return ROOT / source / Path(path).relative_to(target)
    raise AssertionError(f"{path} is not mounted from the repository")


def test_the_data_source_is_the_one_that_boards_and_alerts_ask():
    (source,) = yaml.safe_load((PROVISIONING / "datasources/influxdb.yaml").read_text())["datasources"]
    assert source["uid"] == DATA_SOURCE_UID
    texts = [path.read_text() for path in (*ROOT.glob("dashboards/*.json"), PROVISIONING / "alerting/loadstone.yaml")]
    assert len(texts) == 8
    assert all(DATA_SOURCE_UID in text for text in texts)


def test_the_boards_are_where_the_provider_looks_and_in_the_folder_of_the_alerts():
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/loadstone.yaml").read_text())["providers"]
    boards = list(mounted(provider["options"]["path"]).glob("*.json"))
    assert len(boards) == 7
    (alerts,) = yaml.safe_load((PROVISIONING / "alerting/loadstone.yaml").read_text())["groups"]
    assert (provider["folder"], provider["folderUid"]) == (alerts["folder"], FOLDER_UID)
    assert mounted("/etc/grafana/provisioning") == PROVISIONING


def test_visitors_without_a_password_may_view_boards_and_change_nothing():
    settings = grafana()["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "${GRAFANA_ANONYMOUS:-true}"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/admin_password"
    home = mounted(settings["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert json.loads(home.read_text())["uid"] == "loadstone-run"
