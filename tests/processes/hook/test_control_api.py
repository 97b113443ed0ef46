"""The control API of a master: what it accepts, what it refuses and why, and the settings of the run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from locust import User
from locust.env import Environment
from locust.runners import MasterRunner
from locust.util.load_locustfile import load_locustfile

from loadstone.hook import control_api, web_form
from loadstone.hook.master import MasterHook, _with_request
from loadstone.hook.worker import touch_heartbeat_file
from loadstone.settings import HookSettings, RunRequest, load
from support.loadstone_run import SCENARIOS
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flask.testing import FlaskClient

REDIS = "redis://127.0.0.1:1/0"
pytestmark = pytest.mark.usefixtures("as_if_started_by_locust")


class Idle(User):
    """A user of no service."""


@contextmanager
def controlled(
    host: str | None = None, user_classes: Sequence[type[User]] = (Idle,), shape: str | None = None
) -> Iterator[tuple[Any, FlaskClient]]:
    """A real master without workers, and its HTTP API; ``shape``: a scenario with an arrival shape."""
    files = [str(SCENARIOS / f"{shape}.py")] if shape else []
    for file in files:
        load_locustfile(file)
    environment = Environment(user_classes=list(user_classes), host=host, parsed_locustfiles=files)
    runner = environment.create_master_runner("127.0.0.1", free_port())
    ui = environment.create_web_ui("127.0.0.1", free_port(), delayed_start=True)
    web_form.install(ui)
    control_api.install(ui, MasterHook(environment, load(HookSettings, environ={}), REDIS), None)
    try:
        yield runner, ui.app.test_client()
    finally:
        context = runner.server.socket.context
        runner.greenlet.kill()
        runner.server.close()
        context.destroy()


def test_without_workers_no_run_starts():
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json={"users": 5})
        assert answer.status_code == 503
        assert answer.get_json() == {"problems": ["no worker has joined yet"]}


def test_every_wrong_value_is_told_at_once():
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json={"users": 0, "spawn_rate": [1, 2], "run_time": 5})
        assert answer.status_code == 400
        assert [problem.split(" is ")[0] for problem in answer.get_json()["problems"]] == ["--users", "--spawn-rate"]


@pytest.mark.parametrize(
    ("body", "said"), [({"user": 5}, "user is not known, allowed are"), ([1], "the request must be a JSON object")]
)
def test_what_is_no_field_is_refused_by_name(body: Any, said: str):
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json=body)
        assert answer.status_code == 400
        assert said in answer.get_json()["problems"][0]


def test_a_form_that_another_site_could_send_is_refused():
    with controlled() as (_, client):
        assert client.post("/loadstone/runs", data={"users": 5}).status_code == 415


def test_a_run_that_goes_on_is_not_replaced():
    with controlled() as (runner, client):
        runner.state = "running"
        answer = client.post("/loadstone/runs", json={"users": 5})
        assert answer.status_code == 409
        runner.state = "ready"


def test_the_host_of_one_request_is_not_that_of_the_next(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MasterRunner, "worker_count", 1)
    monkeypatch.setattr(MasterRunner, "start", lambda *_: None)
    with controlled(host="http://configured") as (runner, client):
        hosts = []
        for host in ("http://other", None):
            assert client.post("/loadstone/runs", json={"users": 5, "host": host}).status_code == 202
            hosts.append(runner.environment.host)
        assert hosts == ["http://other", "http://configured"]


def test_the_state_names_run_users_and_workers():
    with controlled() as (_, client):
        told = client.get("/loadstone/runs").get_json()
        assert {key: told[key] for key in ("run", "state", "users", "workers")} == {
            "run": None,
            "state": "ready",
            "users": 0,
            "workers": 0,
        }


def test_a_request_replaces_the_masters_own_settings_for_one_run():
    given = load(HookSettings, environ={"LOADSTONE_RUN_TIME": "9", "LOADSTONE_LIMITS": '{"a": 1}'})
    wanted = load(RunRequest, {"steady_state": "60", "objective": ["p95<1s", "rps>1"], "seed": "3"}, environ={})
    settings = _with_request(given, wanted)
    assert (settings.run_time, settings.steady_state, settings.seed) == (None, 60, 3)
    assert settings.objective == ("p95<1s", "rps>1")
    assert settings.limits == {"a": 1}
    assert _with_request(given, None) is given


def test_a_rate_of_a_request_is_that_of_one_run_and_one_that_is_none_is_refused():
    given = load(HookSettings, environ={"LOADSTONE_RATE": "9/s"})
    wanted = load(RunRequest, control_api._texts({"rate": ["5/s over 10s", "7/s"], "arrivals": "constant"}), environ={})
    assert _with_request(given, wanted).rate == ("5/s over 10s", "7/s")
    assert _with_request(given, load(RunRequest, {}, environ={})).rate == (), "it is a run with a number of users"
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json={"rate": ["fast"]})
        assert answer.status_code == 400
        assert "rate 'fast' is not NUMBER/s" in answer.get_json()["problems"][0]


class Loner(User):
    def run(self) -> None:
        """Runs no task of Locust's."""


def test_users_whom_no_arrival_can_wake_are_refused():
    with controlled(user_classes=[Idle, Loner]) as (_, client):
        answer = client.post("/loadstone/runs", json={"rate": ["5/s"]})
        assert answer.status_code == 400
        assert "users of Loner run their tasks in a way of their own" in answer.get_json()["problems"][0]


def test_an_arrival_shape_of_the_masters_scenario_decides_how_many_users_there_are(monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[int, float]] = []
    monkeypatch.setattr(MasterRunner, "worker_count", 1)
    monkeypatch.setattr(MasterRunner, "start", lambda _, users, spawn_rate: started.append((users, spawn_rate)))
    with controlled(shape="surging") as (_, client):
        assert client.get("/loadstone/runs").get_json()["arrival_shape"] == "Surge"
        for body in ({"users": 50}, {"max_users": 9}):
            assert client.post("/loadstone/runs", json=body).status_code == 202
            gevent.sleep(0)
        assert started == [(240, 48.0), (9, 10.0)]
        answer = client.post("/loadstone/runs", json={"rate": ["5/s"]})
        assert (answer.status_code, len(started)) == (400, 2)
        assert "the arrival shape Surge decides how many iterations arrive" in answer.get_json()["problems"][0]
    with controlled() as (_, client):
        assert client.get("/loadstone/runs").get_json()["arrival_shape"] is None
        answer = client.post("/loadstone/runs", json={"max_users": 9})
        assert "max_users belongs to a rate of arrivals" in answer.get_json()["problems"][0]


def test_locusts_form_starts_an_arrival_shape_with_its_users_or_says_why_it_cannot(monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[int, float]] = []
    monkeypatch.setattr(MasterRunner, "start", lambda _, users, spawn_rate: started.append((users, spawn_rate)))
    form = {"user_count": "1", "spawn_rate": "1", "rate_of_arrivals": ""}
    with controlled(shape="surging") as (_, client):
        assert client.post("/swarm", data=form).get_json()["success"]
        gevent.sleep(0)
        assert started == [(240, 48.0)]
        answer = client.post("/swarm", data=form | {"rate_of_arrivals": "5/s"}).get_json()
        assert "the arrival shape Surge decides how many iterations arrive" in answer["message"]
    with controlled(shape="endless") as (_, client):
        answer = client.post("/swarm", data=form).get_json()
        assert (answer["success"], len(started)) == (False, 1)
        assert "the arrival shape Endless never ends" in answer["message"]
        assert client.post("/swarm", data=form | {"run_time": "30s"}).get_json()["success"]


def test_limits_and_target_of_a_request_take_the_place_of_the_masters_own_for_one_run():
    given = load(HookSettings, environ={"LOADSTONE_TARGET": '{"mode": "auto"}', "LOADSTONE_LIMITS": '{"a": 1}'})
    body = {"limits": {"target": {"cpu_cores": 0.5}}, "target": {"image": "sha256:ab", "mode": None}}
    wanted = load(RunRequest, control_api._texts(body), environ={})
    settings = _with_request(given, wanted)
    assert (settings.limits, settings.target) == (body["limits"], body["target"])
    only_limits = _with_request(given, load(RunRequest, control_api._texts({"limits": {"a": 2}}), environ={}))
    assert (only_limits.limits, only_limits.target) == ({"a": 2}, {"mode": "auto"})


@pytest.mark.parametrize("wrong", ["1 CPU", [1], 7])
def test_limits_that_are_no_object_are_refused(wrong: Any):
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json={"limits": wrong})
        assert answer.status_code == 400
        assert "--limits" in answer.get_json()["problems"][0]


def test_a_target_nested_too_deeply_to_be_recorded_is_refused():
    nested: dict[str, Any] = {}
    for _ in range(60):
        nested = {"in": nested}
    with controlled() as (_, client):
        answer = client.post("/loadstone/runs", json={"target": nested})
        assert answer.status_code == 400
        assert answer.get_json()["problems"] == ["target are nested more than 50 levels deep"]


class _Runner:
    """A worker's runner as far as the heartbeat needs it."""

    def __init__(self, heard: float | None) -> None:
        self.last_heartbeat_timestamp = heard


def test_a_worker_touches_its_heartbeat_file_only_while_its_master_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Enough(Exception):  # noqa: N818
        """The loop has turned once."""

    def stop(_seconds: float) -> None:
        raise Enough

    monkeypatch.setattr("loadstone.hook.worker.gevent.sleep", stop)
    monkeypatch.setattr("loadstone.hook.worker.time.time", lambda: 1000.0)
    shown = {}
    for heard in (None, 900.0, 998.0):
        file = tmp_path / str(heard)
        with pytest.raises(Enough):
            touch_heartbeat_file(_Runner(heard), file)  # type: ignore[arg-type]
        shown[heard] = file.exists()
    assert shown == {None: False, 900.0: False, 998.0: True}
