"""The registry's door: a real MLflow server behind a real HAProxy, with the users and rights that the stack gives."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from target_helpers import ROOT, run_command, running

from loadstone.compose import secrets
from support.processes import ServerProcess, free_port, port_answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = ROOT / "target" / "registry" / "haproxy.cfg"
MODEL = "models:/diabetes@champion"
PASSWORDS = {"mlflow_people": "of-people", "mlflow_model": "of-model", "mlflow_target": "of-target"}


@dataclass(frozen=True, slots=True)
class Door:
    """The address that clients use, and the folder of the server."""

    folder: Path
    url: str

    def ask(self, user: str | None, method: str, path: str, **how: Any) -> int:
        """The status of one request by a user; None: without a login."""
        auth = (user, PASSWORDS.get(f"mlflow_{user}", "")) if user else None
        return httpx.request(method, f"{self.url}/api/2.0/mlflow{path}", auth=auth, timeout=30, **how).status_code

    def models(self) -> str:
        """All registered models, as the target reads them."""
        login = ("target", PASSWORDS["mlflow_target"])
        found = httpx.get(f"{self.url}/api/2.0/mlflow/registered-models/search", auth=login)
        assert found.status_code == 200
        return found.text

    def settings_of(self, user: str) -> dict[str, str]:
        """The environment of a service: where the registry is, and the file with its login."""
        netrc = self.folder / f"{user}.netrc"
        netrc.write_text(secrets._netrc(user)(PASSWORDS).replace("machine mlflow ", "machine 127.0.0.1 "))
        return {"MLFLOW_TRACKING_URI": self.url, "MODEL_URI": MODEL, "NETRC": str(netrc)}


@pytest.fixture(scope="module")
def door(haproxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("registry")
    port, behind = free_port(), free_port()
    (folder / "users.cfg").write_text(secrets._registry_users(PASSWORDS))
    quiet = ["env", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true"]
    server = [*quiet, sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={behind}", "--workers=1"]
    server += [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    server += [f"--artifacts-destination={folder}/artifacts"]
    places = [f"REGISTRY_BIND=127.0.0.1:{port}", f"REGISTRY_SERVER=127.0.0.1:{behind}"]
    front = ["env", *places, haproxy, "-db", "-f", folder / "users.cfg", "-f", CONFIGURATION]
    with ExitStack() as stack:
        for name, command, its_port in (("mlflow", server, behind), ("haproxy", front, port)):
            ready = partial(port_answers, its_port)
            stack.enter_context(ServerProcess(command, log=folder / f"{name}.log", ready=ready))
        found = Door(folder, f"http://127.0.0.1:{port}")
        trained = run_command("train", folder, **found.settings_of("model"))
        assert trained.returncode == 0, trained.stdout + trained.stderr
        yield found


def test_the_target_serves_a_model_that_it_may_only_read(door: Door):
    with running(door.folder, **door.settings_of("target")) as target:
        assert target.get("/info").json()["model"] == "diabetes"


@pytest.mark.parametrize(
    "user", [None, "nobody", "admin"], ids=["no login", "an unknown user", "the default of others"]
)
def test_without_a_login_nothing_is_answered_but_whether_the_server_lives(door: Door, user: str | None):
    assert door.ask(user, "GET", "/registered-models/search") == 401
    assert door.ask(user, "POST", "/registered-models/create", json={"name": "mine"}) == 401
    assert httpx.get(f"{door.url}/").status_code == 401
    assert httpx.post(f"{door.url}/health").status_code == 401
    assert httpx.get(f"{door.url}/health").status_code == 200


def test_a_wrong_password_is_refused(door: Door):
    assert httpx.get(f"{door.url}/", auth=("target", "of-model")).status_code == 401


WRITES = {
    "replace the model": (
        "POST",
        "/registered-models/alias",
        {"name": "diabetes", "alias": "champion", "version": "1"},
    ),
    "register another": ("POST", "/registered-models/create", {"name": "by-target"}),
    "rename": ("PATCH", "/registered-models/update", {"name": "diabetes", "description": "x"}),
    "remove": ("DELETE", "/registered-models/delete", {"name": "diabetes"}),
    "begin a run": ("POST", "/runs/create", {"experiment_id": "0"}),
}


@pytest.mark.parametrize(("method", "path", "body"), WRITES.values(), ids=WRITES)
def test_the_target_cannot_change_the_registry(door: Door, method: str, path: str, body: dict[str, str]):
    before = door.models()
    assert door.ask("target", method, path, json=body) == 403
    door.ask("target", "GET", path, json=body, headers={"X-HTTP-Method-Override": method})
    assert door.models() == before


def test_the_target_cannot_replace_an_artifact(door: Door):
    (graph,) = {path.parent for path in (door.folder / "artifacts").rglob("MLmodel")}
    path = f"/api/2.0/mlflow-artifacts/artifacts/{(graph / 'MLmodel').relative_to(door.folder / 'artifacts')}"
    before = (graph / "MLmodel").read_bytes()
    login = ("target", PASSWORDS["mlflow_target"])
    assert httpx.get(door.url + path, auth=login).content == before
    assert httpx.put(door.url + path, auth=login, content=b"mine").status_code == 403
    assert (graph / "MLmodel").read_bytes() == before


@pytest.mark.parametrize("user", ["people", "model"])
def test_people_and_the_service_model_may_write(door: Door, user: str):
    assert door.ask(user, "POST", "/registered-models/create", json={"name": f"of-{user}"}) == 200
    assert door.ask(user, "GET", "/registered-models/get", params={"name": f"of-{user}"}) == 200


def test_the_login_is_sent_to_the_stacks_registry_alone(door: Door):
    netrc = secrets._netrc("target")(PASSWORDS)
    assert netrc.startswith("machine mlflow login target ")
    assert "default" not in netrc
