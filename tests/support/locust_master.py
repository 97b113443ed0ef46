"""A real Locust master with loadstone's hook and one worker, as a compose stack has them, without any other service."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from loadstone.hook.inspect_scenario import PLUGIN_FILE
from loadstone.launch.python import RUN_LOCUST, python_module
from support.environ import without_settings
from support.processes import ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LocustMaster", "locust_master"]

SCENARIO: Final = Path(__file__).parents[1] / "processes" / "hook" / "scenarios" / "own_routes.py"


class LocustMaster:
    """Its address, its process, and what happened to it so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pid = 0
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def ask(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        """One request with exactly these headers beside the client's own, which name no page."""
        return self.client.request(method, path, headers=headers, **more)

    def effects(self) -> dict[str, Any]:
        """The scenario's counts, asked for as a program does."""
        found: dict[str, Any] = self.client.get("/effects").raise_for_status().json()
        return found

    def has_worker(self) -> bool:
        """Whether its worker has joined."""
        try:
            return bool(self.client.get("/worker-count").json()["worker_count"])
        except (httpx.HTTPError, ValueError):
            return False

    def answers(self) -> bool:
        """Whether its web UI answers at all."""
        try:
            return self.client.get("/login").status_code < 500
        except httpx.HTTPError:
            return False


@contextlib.contextmanager
def locust_master(
    folder: Path, redis_url: str, *options: str, worker: bool = True, **settings: str
) -> Iterator[LocustMaster]:
    """Start a master, and a worker unless it is to have none; ``settings`` are those of the hook, by field."""
    master, bind = LocustMaster(free_port()), str(free_port())
    own = {f"LOADSTONE_{name.upper()}": value for name, value in {"redis_url": redis_url, **settings}.items()}
    environment = {**without_settings(), **own}
    command = python_module(RUN_LOCUST, "-f", f"{SCENARIO},{PLUGIN_FILE}")
    web = ["--web-host", "127.0.0.1", "--web-port", str(master.port), *options]
    given = [*command, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", bind, *web]
    joining = [*command, "--worker", "--master-host", "127.0.0.1", "--master-port", bind]
    with contextlib.ExitStack() as stack:
        stack.enter_context(master.client)
        master.pid = stack.enter_context(_program(given, folder / "master.log", environment, master.answers))
        if worker:
            stack.enter_context(_program(joining, folder / "worker.log", environment, master.has_worker))
        yield master


@contextlib.contextmanager
def _program(command: list[str], log: Path, environment: dict[str, str], ready: Any) -> Iterator[int]:
    """Run a program with these variables and no others; its process id."""
    words = ["env", "-i", *(f"{name}={value}" for name, value in {**environment, "PWD": os.curdir}.items())]
    with ServerProcess([*words, *command], log=log, ready=ready) as program:
        yield program.pid
