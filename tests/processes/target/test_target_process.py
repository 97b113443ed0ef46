"""The real program as a process, with a real registry."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import httpx
from target_helpers import TargetProcess, end, log_model, registry_of, run_command, running

from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_train_prints_one_line_and_registers_the_model_only_once(trained: Path, registry_folder: Path):
    assert (trained / "train.stdout").read_text() == "registered models:/diabetes@champion as version 1\n"
    again = run_command("train", registry_folder)
    assert (again.returncode, again.stdout) == (0, "models:/diabetes@champion is already registered as version 1\n")
    assert [one.version for one in registry_of(registry_folder).client.search_model_versions("name='diabetes'")] == [1]


def test_train_refuses_to_assign_a_version_number(registry_folder: Path):
    done = run_command("train", registry_folder, MODEL_URI="models:/diabetes/7")
    assert done.returncode == 2
    assert "models:/diabetes/7" in done.stderr
    assert "alias" in done.stderr


def test_connections_are_refused_until_the_first_model_is_served(trained: Path):
    """A balancer sends a refused request to another replica, but passes on the 503 of a replica without a model."""
    port = free_port()
    target = TargetProcess(trained, listens=False, TARGET_MODE="naive", TARGET_PORT=str(port))
    try:
        target.wait_for_line("event=model_loading")
        first = _first_answer(f"http://127.0.0.1:{port}")
        assert first.json() == {"status": "serving", "why": None}
        assert httpx.get(f"http://127.0.0.1:{port}/info").json()["version"] == "1"
        assert {"listening", "model_loading", "model_serving"} <= target.events()
    finally:
        end(target)


def _first_answer(url: str) -> httpx.Response:
    refused = 0
    while True:
        try:
            answer = httpx.get(f"{url}/ready")
        except httpx.ConnectError:
            refused += 1
            assert refused < 10_000
            time.sleep(0.005)
        else:
            assert refused > 0, "the model was loaded before the first connection, so this test proved nothing"
            return answer


def test_a_signal_while_the_model_is_being_loaded_ends_the_target_with_exit_code_0(trained: Path):
    target = TargetProcess(trained, listens=False, TARGET_MODE="naive")
    try:
        target.wait_for_line("event=model_loading")
        assert target.stop() == 0
        assert "listening" not in target.events()
    finally:
        end(target)


def test_a_moved_alias_is_followed_without_a_failed_request(registry_folder: Path):
    with running(registry_folder) as target:
        row = target.get("/info").json()["input_example"][0]
        stop, seen = threading.Event(), []

        def user():
            with httpx.Client() as client:
                while not stop.is_set():
                    answer = client.post(f"{target.url}/predict", json={"inputs": row})
                    seen.append((answer.status_code, answer.json().get("model_version")))

        users = [threading.Thread(target=user) for _ in range(4)]
        for one in users:
            one.start()
        _register_second_version(registry_folder)
        target.wait_for(lambda: target.get("/info").json()["version"] == "2")
        target.wait_for(lambda: (200, "2") in seen)
        stop.set()
        for one in users:
            one.join()
        assert set(seen) == {(200, "1"), (200, "2")}
        assert target.metric("target_model_swaps_total") == 1
        assert target.metric('target_predict_requests_total{outcome="ok"}') == len(seen)
        assert target.stop(signal.SIGINT) == 0


def _register_second_version(folder: Path):
    from inference.settings import parse_model_uri
    from inference.training import register_sample

    register_sample(registry_of(folder), parse_model_uri("models:/diabetes@champion"))


def test_an_unavailable_registry_is_reported_and_retried_until_it_is_back(trained: Path, tmp_path: Path):
    later = tmp_path / "later"
    later.touch()  # a file where the registry's folder should be
    target = TargetProcess(tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{later / 'mlflow.db'}")
    try:
        line = target.wait_for_line(r"level=warning .*event=registry_away .*").group(0)
        assert "MLFLOW_TRACKING_URI" in line
        assert target.get("/live").status_code == 200
        ready = target.get("/ready")
        assert ready.status_code == 503
        assert "does not answer" in ready.json()["why"]
        later.unlink()
        later.mkdir()
        shutil.copyfile(trained / "mlflow.db", later / "mlflow.db")
        target.wait_ready()
        target.wait_for_line("event=registry_back")
    finally:
        end(target)


def test_the_target_waits_for_a_model_that_is_not_registered_yet(registry_folder: Path):
    target = TargetProcess(registry_folder, MODEL_URI="models:/later@champion")
    try:
        assert "inference train" in target.wait_for_line("event=model_missing .*").group(0)
        assert target.get("/ready").status_code == 503
    finally:
        end(target)


def test_a_model_without_signature_ends_the_target_with_exit_code_2_and_a_hint(registry_folder: Path):
    from sklearn.dummy import DummyRegressor

    model = DummyRegressor().fit([[1], [2]], [1, 2])
    log_model(registry_folder, "sklearn", model, name="unsigned", serialization_format="cloudpickle")
    done = run_command("serve", registry_folder, MODEL_URI="models:/unsigned@champion")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "unsigned/1" in last
    assert "infer_signature" in last


def test_invalid_settings_end_the_target_with_exit_code_2_and_one_sentence(tmp_path: Path):
    done = run_command("serve", tmp_path, TARGET_MODE="fast", TARGET_PORT="-1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "TARGET_MODE='fast'" in done.stderr
    assert "TARGET_PORT='-1'" in done.stderr


def test_a_port_in_use_ends_the_target_with_exit_code_2_and_is_named(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command("serve", tmp_path, TARGET_PORT=str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "TARGET_PORT" in done.stderr


def test_a_drain_is_announced_finishes_requests_in_flight_and_exits_with_0(trained: Path):
    target = TargetProcess(trained, TARGET_MODE="naive", TARGET_DRAIN_SECONDS="1.5")
    try:
        target.wait_ready()
        row = target.get("/info").json()["input_example"][0]
        with httpx.Client() as client:
            target.process.send_signal(signal.SIGTERM)
            target.wait_ready(404)
            answer = client.post(f"{target.url}/predict", json={"inputs": row})
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
        assert target.wait() == 0
        assert target.lines[-1].endswith("event=stopped\n")
    finally:
        end(target)


def test_the_target_imports_nothing_from_loadstone():
    from target_helpers import ROOT

    for path in (ROOT / "target" / "inference").glob("*.py"):
        assert "loadstone." not in path.read_text(), path
        assert "import loadstone" not in path.read_text(), path
