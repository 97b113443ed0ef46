"""A report on a model version in a real MLflow registry: tags, an MLflow run with figures and files, and refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from loadstone.errors import PlatformError, UsageError
from loadstone.registry.mlflow_registry import MlflowRegistry
from loadstone.registry.report import ModelReport, ServedVersion
from support.processes import free_port

# MLflow and its database library warn of what will change in them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
MODEL = "demand"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow's own client of a database with a model of two versions, each from a run of its own."""
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model(MODEL)
    experiment = client.create_experiment("training", artifact_location=folder.as_uri())
    for _ in range(2):
        run = client.create_run(experiment).info.run_id
        client.create_model_version(MODEL, source=f"{folder.as_uri()}/{run}", run_id=run)
    client.set_registered_model_alias(MODEL, "champion", "2")
    return client


@pytest.fixture
def registry(client: Any) -> MlflowRegistry:
    return MlflowRegistry(client.tracking_uri, "loadstone")


def tags_of(client: Any, number: str) -> dict[str, str]:
    tags: dict[str, str] = client.get_model_version(MODEL, number).tags
    return tags


def report(number: str | None = "1", trained_by: str | None = None, **how: Any) -> ModelReport:
    served = ServedVersion(name=MODEL, number=number, trained_by=trained_by) if number else None
    usual = {"name": "study-1", "prefix": "loadstone.capacity.", "tags": {"loadstone.capacity.users": "120"}}
    return ModelReport(**{**usual, **how}, served=served)


def test_a_database_gets_no_tables_before_it_is_asked(tmp_path: Path):
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/demo.db", "loadstone")
    assert not (tmp_path / "demo.db").exists(), "the demo target may be making them"
    registry.check(None)
    assert (tmp_path / "demo.db").exists()


def test_a_report_becomes_tags_and_a_run_with_figures_and_files(client: Any, registry: MlflowRegistry, tmp_path: Path):
    (tmp_path / "study.json").write_text("{}")
    given = report(
        metrics={"p95_ms": (310.5, None, 290.0)}, params={"host": "http://a"}, files=[tmp_path / "study.json"]
    )
    said = registry.write(given, None)
    tags = tags_of(client, "1")
    run = client.get_run(tags.pop("loadstone.capacity.mlflow_run"))
    assert tags == {"loadstone.capacity.users": "120"}
    assert (run.info.status, run.info.run_name, run.data.params) == ("FINISHED", "study-1", {"host": "http://a"})
    assert run.data.tags["loadstone.model"] == f"models:/{MODEL}/1"
    history = client.get_metric_history(run.info.run_id, "p95_ms")
    assert [(each.step, each.value) for each in history] == [(1, 310.5), (3, 290.0)]
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["study.json"]
    assert f"models:/{MODEL}/1" in said


def test_a_newer_report_leaves_no_tag_of_the_one_before_and_none_of_others_goes(client: Any, registry: MlflowRegistry):
    client.set_model_version_tag(MODEL, "1", "owner", "someone")
    registry.write(report(tags={"loadstone.capacity.cpu": "2"}), None)
    registry.write(report(tags={"loadstone.capacity.holds": "no"}), None)
    assert {name for name in tags_of(client, "1") if not name.endswith("mlflow_run")} == {
        "owner",
        "loadstone.capacity.holds",
    }


def test_what_proved_nothing_leaves_the_tags_of_the_version_as_they_are(client: Any, registry: MlflowRegistry):
    registry.write(report(), None)
    before = tags_of(client, "1")
    said = registry.write(report(tags={}), None)
    assert tags_of(client, "1") == before
    assert "no new tags" in said


def test_another_version_is_tagged_where_it_is_named_by_alias(client: Any, registry: MlflowRegistry):
    registry.write(report(None), f"models:/{MODEL}@champion")
    assert tags_of(client, "2")["loadstone.capacity.users"] == "120"


def test_an_alias_that_was_moved_meanwhile_tags_nothing(client: Any, registry: MlflowRegistry):
    client.set_registered_model_alias(MODEL, "moving", "1")
    registry.check(f"models:/{MODEL}@moving")
    client.set_registered_model_alias(MODEL, "moving", "2")
    before = tags_of(client, "1"), tags_of(client, "2")
    with pytest.raises(PlatformError, match=f"was models:/{MODEL}/1 when .* began, and is models:/{MODEL}/2 now"):
        registry.write(report(None), f"models:/{MODEL}@moving")
    assert (tags_of(client, "1"), tags_of(client, "2")) == before


def test_another_version_than_the_target_says_is_not_tagged(client: Any, registry: MlflowRegistry):
    before = tags_of(client, "2")
    with pytest.raises(PlatformError, match=f"the target served models:/{MODEL}/1, and not models:/{MODEL}/2"):
        registry.write(report("1"), f"models:/{MODEL}/2")
    assert tags_of(client, "2") == before


def test_a_version_that_another_run_trained_is_not_tagged(client: Any, registry: MlflowRegistry):
    before = tags_of(client, "2")
    for named in (None, f"models:/{MODEL}@champion"):
        with pytest.raises(PlatformError, match="another model than the one that was measured"):
            registry.write(report("2", trained_by="0" * 32), named)
    assert tags_of(client, "2") == before


def test_a_target_that_names_no_version_is_told_how_to_name_it(registry: MlflowRegistry):
    with pytest.raises(PlatformError) as caught:
        registry.write(report(None), None)
    assert "--tagged-model" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        (f"models:/{MODEL}/7", "7"),
        ("models:/nobody/1", "nobody"),
        (f"models:/{MODEL}@none", "none"),
        (f"models:/{MODEL}", "names no model version"),
        ("demand/1", "names no model version"),
    ],
)
def test_a_version_that_is_not_there_is_refused_before_a_run(registry: MlflowRegistry, uri: str, cause: str):
    with pytest.raises(UsageError, match=cause):
        registry.check(uri)


def test_a_registry_that_is_away_is_refused_before_a_run():
    with pytest.raises(UsageError) as caught:
        MlflowRegistry(f"http://someone:secret@127.0.0.1:{free_port()}", "loadstone").check(None)
    assert "cannot be used: Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_report_that_cannot_be_logged_leaves_the_tags_and_a_run_that_failed(client: Any, registry: MlflowRegistry):
    registry.write(report(), None)
    before = tags_of(client, "1")
    with pytest.raises(PlatformError, match=r"No such file or directory: .*missing\.json"):
        registry.write(report(name="study-2", files=[Path("missing.json")]), None)
    assert tags_of(client, "1") == before
    (run,) = client.search_runs(
        [client.get_experiment_by_name("loadstone").experiment_id], "attributes.run_name = 'study-2'"
    )
    assert run.info.status == "FAILED"


def test_a_version_that_went_while_the_run_lasted_is_no_wrong_usage(client: Any, registry: MlflowRegistry):
    with pytest.raises(PlatformError, match=f"models:/{MODEL}/9 was not tagged"):
        registry.write(report("9"), None)


def test_a_new_registry_is_made_without_a_word(tmp_path: Path):
    made = f"MlflowRegistry('sqlite:///{tmp_path}/new.db', 'loadstone').check(None)"
    code = f"from loadstone.registry.mlflow_registry import MlflowRegistry; {made}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
