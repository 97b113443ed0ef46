"""Secrets are made once, differ, and each consumer has its own with the right owner and no other reader."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadstone.compose import secrets
from loadstone.compose.secrets import give_results, make_secrets, read_for_people
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

VOLUMES = {file.volume for file in secrets._FILES} | {"store"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty volumes, and a record of changed owners in place of changing them, which only root may."""
    for volume in VOLUMES:
        (tmp_path / volume).mkdir()
    return tmp_path


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """What was given to whom."""
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.update({str(path): (uid, gid)}))
    return given


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_file_is_readable_by_its_owner_alone(root: Path, owners: dict[str, tuple[int, int]]):
    made = make_secrets(root, 1234, 1235)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert sorted([*made, "store/secrets.json", "store/given.json"]) == sorted(contents(root))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o400}
    given = {name.removeprefix(f"{root}/").removesuffix(".new"): owner for name, owner in owners.items()}
    assert given["redis/users.acl"] == (999, 999)
    assert given["grafana/admin_password"] == (472, 472)
    assert given["collector/redis_url"] == (1234, 1235)
    assert given["people/secrets.json"] == (1234, 1235)


def test_values_are_long_random_and_all_different(root: Path, owners: dict[str, tuple[int, int]]):
    make_secrets(root, 1, 1)
    values = list(json.loads((root / "store/secrets.json").read_text()).values())
    assert len(set(values)) == len(values) == len(secrets._NAMES)
    assert min(map(len, values)) >= 32


def test_a_second_start_changes_no_value_and_brings_back_a_file_that_is_gone(
    root: Path, owners: dict[str, tuple[int, int]]
):
    make_secrets(root, 1, 1)
    before = contents(root)
    (root / "grafana/admin_password").unlink()
    made = make_secrets(root, 1, 1)
    assert "grafana/admin_password" in made
    assert contents(root) == before


def test_a_file_whose_content_a_newer_version_changes_is_written_again_and_no_other_one(
    root: Path, owners: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
):
    mine = os.getuid(), os.getgid()
    monkeypatch.setattr(secrets, "_FILES", tuple(replace(file, owner=secrets._ROOT) for file in secrets._FILES))
    make_secrets(root, *mine)
    assert make_secrets(root, *mine) == []
    monkeypatch.setattr(secrets, "_ACL_COMMANDS", {**secrets._ACL_COMMANDS, "worker": "resetkeys -@all +ping"})
    assert make_secrets(root, *mine) == ["redis/users.acl"]
    assert " resetkeys -@all +ping" in (root / "redis/users.acl").read_text()


def test_a_stack_of_an_older_version_gets_the_rules_of_this_one(root: Path, owners: dict[str, tuple[int, int]]):
    (root / "store/secrets.json").write_text(json.dumps({"redis_locust": "old", "redis_usage": "kept"}))
    (root / "redis/users.acl").write_text("user locust on +xadd")
    make_secrets(root, 1, 1)
    assert "+xadd" not in (root / "redis/users.acl").read_text()
    assert (root / "usage/redis_url").read_text() == "redis://usage:kept@redis:6379/0"


def test_a_secret_that_a_newer_version_needs_is_added_without_changing_the_others(
    root: Path, owners: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(secrets, "_NAMES", secrets._NAMES)
    make_secrets(root, 1, 1)
    before = json.loads((root / "store/secrets.json").read_text())
    monkeypatch.setattr(secrets, "_NAMES", (*secrets._NAMES, "newer"))
    make_secrets(root, 1, 1)
    after = json.loads((root / "store/secrets.json").read_text())
    assert set(after) - set(before) == {"newer"}
    assert {name: after[name] for name in before} == before


def test_a_damaged_store_is_said_and_nothing_is_overwritten(root: Path, owners: dict[str, tuple[int, int]]):
    (root / "store/secrets.json").write_text("{")
    with pytest.raises(PlatformError, match=r"cannot be read.*down -v"):
        make_secrets(root, 1, 1)
    assert contents(root) == {"store/secrets.json": "{"}


def test_results_are_given_as_a_folder_not_with_what_is_in_it(tmp_path: Path, owners: dict[str, tuple[int, int]]):
    (tmp_path / "run").mkdir()
    give_results(tmp_path, 7, 8)
    assert owners == {str(tmp_path): (7, 8)}


def test_people_are_shown_users_and_passwords(root: Path, owners: dict[str, tuple[int, int]]):
    make_secrets(root, 1, 1)
    told = read_for_people(root)
    assert told["Grafana"] == secrets.Login(user="admin", password=(root / "grafana/admin_password").read_text())
    assert set(told) == {"Grafana", "InfluxDB", "MLflow"}


def test_outside_of_the_stack_the_secrets_cannot_be_read_and_it_says_where_they_can(tmp_path: Path):
    with pytest.raises(UsageError, match="docker compose run --rm cli secrets show"):
        read_for_people(tmp_path)
