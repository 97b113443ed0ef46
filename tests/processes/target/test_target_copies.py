"""Copies of what was fetched from a real registry in a SQLite file: used while it is unchanged, and only then."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.linear_model import LinearRegression
from target_helpers import log_model, registry_of, run_command, running

from inference import copying_registry
from inference.codec import Codec
from inference.compiling import obtain_compiled
from inference.copying_registry import CopyingRegistry, open_registry
from inference.errors import ModelMissingError, ModelRefusedError, RegistryAwayError
from inference.registry import Registry
from inference.settings import parse_model_uri, read_settings

if TYPE_CHECKING:
    from inference.settings import ModelUri

CHAMPION = parse_model_uri("models:/diabetes@champion")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def copying(registry_folder: Path, copies: Path, *, in_child: bool = False) -> CopyingRegistry:
    """A registry that makes its copies here: MLflow is imported once for all tests, and anew in each child."""
    return CopyingRegistry(f"sqlite:///{registry_folder / 'mlflow.db'}", copies, in_child=in_child)


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


def test_copies_say_what_the_registry_says_and_ask_mlflow_in_a_child_alone(
    registry_folder: Path, copies: Path, tmp_path: Path
):
    expected = served(registry_of(registry_folder), tmp_path / "plain")
    for name in ("first", "second"):
        registry = copying(registry_folder, copies, in_child=True)
        assert served(registry, tmp_path / name) == expected
        assert asks_nobody(registry)


def test_the_second_start_makes_no_copy(registry_folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch):
    copying(registry_folder, copies).resolve(CHAMPION)
    monkeypatch.setattr(subprocess, "run", None)
    assert copying(registry_folder, copies, in_child=True).resolve(CHAMPION).number == "1"


def test_every_write_to_the_registry_makes_the_copies_useless(registry_folder: Path, copies: Path, tmp_path: Path):
    running_target = copying(registry_folder, copies)
    served(running_target, tmp_path / "one")
    client = registry_of(registry_folder).client
    source = client.get_model_version("diabetes", "1")
    client.create_model_version("diabetes", source.source, run_id=source.run_id)
    client.set_registered_model_alias("diabetes", "champion", "2")
    assert copying(registry_folder, copies).resolve(CHAMPION).number == "2"
    assert running_target.resolve(CHAMPION).number == "2", "a target that runs follows the alias too"
    client.set_registered_model_alias("diabetes", "champion", "1")
    assert running_target.resolve(CHAMPION).number == "1"
    assert len(list(copies.glob("*/*"))) == 1, "copies of former states are removed"


def test_a_graph_that_is_stored_again_is_fetched_again(registry_folder: Path, copies: Path, tmp_path: Path):
    registry, plain = copying(registry_folder, copies), registry_of(registry_folder)
    version, model_info, _ = served(registry, tmp_path / "one")
    before = registry._state()
    plain.store_run_folder(version, f"other-{model_info.uuid}", tmp_path / "one" / "compiled")
    assert registry._state() != before


def test_a_write_that_sqlite_keeps_in_its_log_counts_too(registry_folder: Path, copies: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.mkdir()
    (link / "mlflow.db").symlink_to(registry_folder / "mlflow.db")
    registry = copying(link, copies)
    with contextlib.closing(sqlite3.connect(registry_folder / "mlflow.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        before, content = registry._state(), (registry_folder / "mlflow.db").read_bytes()
        writer.execute("UPDATE registered_model_aliases SET version = 9")
        writer.commit()
        assert (registry_folder / "mlflow.db").read_bytes() == content, "only the log was written"
        assert registry._state() != before


def test_copies_are_of_one_model_uri_and_others_stay(registry_folder: Path, copies: Path):
    (copies / "mine").mkdir(parents=True)
    (copies / "mine" / "file").touch()
    by_alias = copying(registry_folder, copies).resolve(CHAMPION)
    by_number = copying(registry_folder, copies).resolve(parse_model_uri("models:/diabetes/1"))
    assert (by_alias.alias, by_number.alias) == ("champion", None)
    assert len(list(copies.glob("*/*/version.json"))) == 2
    assert (copies / "mine" / "file").exists(), "what others put there is nobody's to remove"


@pytest.mark.parametrize(
    "damage",
    ["version.json", "digest", "description/MLmodel", "description/input_example.json", "graph/*/*/model.onnx"],
)
@pytest.mark.parametrize("how", ["gone", "cut off", "garbage"])
def test_a_damaged_copy_is_made_again(
    registry_folder: Path, copies: Path, tmp_path: Path, damage: str, how: str, monkeypatch: pytest.MonkeyPatch
):
    expected = served(copying(registry_folder, copies), tmp_path / "one")
    (found,) = copies.glob(f"*/*/{damage}")
    if how == "gone":
        found.unlink()
    else:
        found.write_bytes(found.read_bytes()[:-20] if how == "cut off" else bytes(range(128, 256)))
    made = []
    make = copying_registry.copy_version
    monkeypatch.setattr(copying_registry, "copy_version", lambda *given: (made.append(given), make(*given)))
    assert served(copying(registry_folder, copies), tmp_path / "two") == expected
    assert served(copying(registry_folder, copies), tmp_path / "three") == expected
    assert len(made) == 1, "the new copy is whole"


def test_a_copy_that_another_target_removes_meanwhile_is_as_good_as_none(
    registry_folder: Path, copies: Path, tmp_path: Path
):
    expected = served(registry_of(registry_folder), tmp_path / "plain")
    registry = copying(registry_folder, copies)
    version = registry.resolve(CHAMPION)
    shutil.rmtree(copies)
    (tmp_path / "two").mkdir()
    assert registry.fetch_model_info(version, tmp_path / "two") == expected[1]
    assert served(registry, tmp_path / "three") == expected


def test_what_is_wrong_with_the_registry_is_told_as_without_copies(registry_folder: Path, copies: Path):
    missing = parse_model_uri("models:/diabetes@none")
    told = []
    for registry in (registry_of(registry_folder), copying(registry_folder, copies, in_child=True)):
        with pytest.raises(ModelMissingError) as raised:
            registry.resolve(missing)
        told.append(raised.value.sentence())
    assert told[0] == told[1]
    (registry_folder / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(RegistryAwayError):
        copying(registry_folder, copies).resolve(CHAMPION)


def test_a_version_that_cannot_be_served_is_resolved_and_refused_where_it_is_read(
    registry_folder: Path, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log_model(registry_folder, "sklearn", LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="diabetes")
    for _ in range(2):
        registry = copying(registry_folder, copies)
        version = registry.resolve(CHAMPION)
        assert version.number == "2"
        with pytest.raises(ModelRefusedError, match="signature"):
            registry.fetch_model_info(version, tmp_path)
        monkeypatch.setattr(copying_registry, "copy_version", None)  # the second time it is read from the copy


def test_without_room_for_copies_the_registry_is_asked_each_time(registry_folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    registry = copying(registry_folder, tmp_path / "file")
    assert served(registry, tmp_path / "scratch")[0].number == "1"
    assert not asks_nobody(registry)


def test_only_a_registry_in_a_file_is_copied_and_only_if_asked(tmp_path: Path):
    folder = {"TARGET_COPIES": str(tmp_path)}
    assert type(open_registry(read_settings({}))) is Registry
    assert type(open_registry(read_settings({**folder, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}))) is Registry
    assert type(open_registry(read_settings(folder))) is CopyingRegistry


def test_a_target_with_copies_never_loads_mlflow(registry_folder: Path, copies: Path):
    for _ in range(2):
        with running(registry_folder, TARGET_COPIES=str(copies)) as target:
            info, maps = target.get("/info").json(), Path(f"/proc/{target.process.pid}/maps").read_text()
            assert (info["version"], info["mode"]) == ("1", "compiled")
            assert "onnxruntime" in maps
            assert "sqlalchemy" not in maps
            assert "pandas" not in maps
            assert target.predict(info["input_example"]).status_code == 200


def test_training_makes_the_copies(registry_folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch):
    assert run_command("train", registry_folder, TARGET_COPIES=str(copies)).returncode == 0
    monkeypatch.setattr(subprocess, "run", None)
    assert copying(registry_folder, copies, in_child=True).resolve(CHAMPION).number == "1"
