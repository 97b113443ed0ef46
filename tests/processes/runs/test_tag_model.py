"""``--tag-model``: the model version that a run tested says in its registry how it did."""

from __future__ import annotations

import mlflow
import pytest

from support.loadstone_run import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
DEMO = REPOSITORY / ".cache" / "demo" / "mlflow.db"


def test_the_model_of_the_demo_target_is_tagged_with_the_run(new_run):
    run = new_run(None, "-u", "5", "-r", "10", "-t", "3s", "--objective", "p99<60s", "--tag-model")
    assert run.run() == 0, run.output
    found = run.run_json()
    client = mlflow.MlflowClient(f"sqlite:///{DEMO}", f"sqlite:///{DEMO}")
    tags = client.get_model_version(found["target"]["model"], found["target"]["version"]).tags
    figures = found["summary"]["window"]["total"]
    assert tags["loadstone.run.id"] == found["id"]
    assert tags["loadstone.run.verdict"] == "pass"
    assert tags["loadstone.run.users"] == "5"
    assert tags["loadstone.run.objectives"] == "p99<60s"
    assert float(tags["loadstone.run.p95_ms"]) == float(f"{figures['p95_ms']:.6g}")
    logged = client.list_artifacts(tags["loadstone.run.mlflow_run"])
    assert {each.path for each in logged} == {"run.json", "report.html", "stats.csv"}


def test_a_target_elsewhere_needs_a_registry_that_is_named(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, "-t", "1s", "--tag-model")
    run.variables["MLFLOW_TRACKING_URI"] = ""
    assert run.run() == 2
    assert "MLFLOW_TRACKING_URI" in run.output
    assert not run.results.exists()


def test_the_stack_does_not_tell_which_version_a_run_was_of(new_run):
    run = new_run(None, "--stack", "-t", "1s", "--tag-model")
    run.variables["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    assert run.run() == 2
    assert "nobody asks the stack's target which model version it serves" in run.output
    assert "--tagged-model models:/NAME/VERSION" in run.output
