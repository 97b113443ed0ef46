"""Copies of what was fetched from a real registry in a SQLite file: used while it is unchanged, and only then."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from target_helpers import registry_of, running

from inference.codec import Codec
from inference.compiling import obtain_compiled
from inference.kept_registry import KeptRegistry, open_registry
from inference.registry import Registry
from inference.settings import parse_model_uri, read_settings

if TYPE_CHECKING:
    from inference.settings import ModelUri

CHAMPION = parse_model_uri("models:/diabetes@champion")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def kept(registry_folder: Path, copies: Path) -> KeptRegistry:
    return KeptRegistry(f"sqlite:///{registry_folder / 'mlflow.db'}", copies)


def served(registry: Registry, scratch: Path, uri: ModelUri = CHAMPION) -> tuple[Any, Any, list[Any]]:
    """The version, its description, and what its graph predicts for the example, fetched as a target does."""
    scratch.mkdir(exist_ok=True)
    version = registry.resolve(uri)
    model_info = registry.fetch_model_info(version, scratch)
    codec = Codec(model_info.signature, 1000)
    predictor, _ = obtain_compiled(model_info, codec, registry, scratch / "compiled")
    return version, model_info, predictor.predict(codec.payload(model_info.example))


def asks_nobody(registry: Registry) -> bool:
    """Whether MLflow's client was not even made."""
    return registry._client is None


def test_a_second_start_is_answered_from_the_copies_alone(registry_folder: Path, copies: Path, tmp_path: Path):
    first, second = kept(registry_folder, copies), kept(registry_folder, copies)
    expected = served(registry_of(registry_folder), tmp_path / "plain")
    assert served(first, tmp_path / "one") == expected
    assert not asks_nobody(first)
    assert served(second, tmp_path / "two") == expected
    assert asks_nobody(second)


def test_every_write_to_the_registry_makes_the_copies_useless(registry_folder: Path, copies: Path, tmp_path: Path):
    served(kept(registry_folder, copies), tmp_path / "one")
    client = registry_of(registry_folder).client
    source = client.get_model_version("diabetes", "1")
    client.create_model_version("diabetes", source.source, run_id=source.run_id)
    client.set_registered_model_alias("diabetes", "champion", "2")
    again = kept(registry_folder, copies)
    assert again.resolve(CHAMPION).number == "2"
    assert again.resolve(CHAMPION).number == "2", "from the copy"
    client.set_registered_model_alias("diabetes", "champion", "1")
    assert again.resolve(CHAMPION).number == "1", "a target that runs follows the alias too"
    assert len(list(copies.iterdir())) == 1, "copies of former states are removed"


def test_a_write_that_sqlite_keeps_in_its_log_counts_too(registry_folder: Path, copies: Path):
    served_before = kept(registry_folder, copies)
    with sqlite3.connect(registry_folder / "mlflow.db") as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        assert served_before.resolve(CHAMPION).number == "1"
        before = (registry_folder / "mlflow.db").stat().st_mtime_ns
        writer.execute("INSERT INTO model_versions SELECT * FROM model_versions WHERE 0")
        writer.execute("UPDATE registered_model_aliases SET version = 9")
        writer.commit()
        assert (registry_folder / "mlflow.db").stat().st_mtime_ns == before, "only the log was written"
        again = kept(registry_folder, copies)
        assert again._folder_of(CHAMPION) != served_before._kept
    writer.close()


def test_copies_are_of_one_model_uri(registry_folder: Path, copies: Path, tmp_path: Path):
    served(kept(registry_folder, copies), tmp_path / "one")
    by_number = kept(registry_folder, copies)
    assert by_number.resolve(parse_model_uri("models:/diabetes/1")).alias is None
    assert not asks_nobody(by_number)


@pytest.mark.parametrize(
    "damage",
    ["version.json", "description", "description/MLmodel", "description/input_example.json", "run-*/model.onnx"],
)
def test_a_copy_that_is_damaged_or_gone_is_fetched_again(
    registry_folder: Path, copies: Path, tmp_path: Path, damage: str
):
    expected = served(kept(registry_folder, copies), tmp_path / "one")
    (found,) = copies.glob(f"*/{damage}")
    if found.is_file():
        found.write_bytes(found.read_bytes()[:-20])
    else:
        shutil.rmtree(found)
    registry = kept(registry_folder, copies)
    assert served(registry, tmp_path / "two") == expected
    assert not asks_nobody(registry)
    again = kept(registry_folder, copies)
    assert served(again, tmp_path / "three") == expected
    assert asks_nobody(again), "it is kept again"


def test_without_room_for_copies_the_registry_is_asked_each_time(registry_folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    for number in range(2):
        registry = kept(registry_folder, tmp_path / "file")
        assert served(registry, tmp_path / f"scratch-{number}")[0].number == "1"
        assert not asks_nobody(registry)


def test_only_a_registry_in_a_file_is_copied_and_only_if_asked(tmp_path: Path):
    folder = {"TARGET_COPIES": str(tmp_path)}
    assert type(open_registry(read_settings({}))) is Registry
    assert type(open_registry(read_settings({**folder, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}))) is Registry
    assert type(open_registry(read_settings(folder))) is KeptRegistry


def test_a_target_that_starts_from_copies_serves_without_mlflow(registry_folder: Path, copies: Path):
    seen = []
    for _ in range(2):
        with running(registry_folder, TARGET_COPIES=str(copies)) as target:
            info, maps = target.get("/info").json(), Path(f"/proc/{target.process.pid}/maps").read_text()
            seen.append((info["version"], info["mode"]))
            loaded = "sqlalchemy" in maps or "pandas" in maps
            assert loaded == (len(seen) == 1)
            assert target.predict(info["input_example"]).status_code == 200
    assert seen[0] == seen[1]
    assert json.loads(next(copies.glob("*/version.json")).read_text())["number"] == "1"
