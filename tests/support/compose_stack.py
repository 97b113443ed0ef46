"""The shipped compose file, brought up on an engine with ports, results and a project name of the test's own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from support.docker_engine import LEFT_OUT
from support.processes import free_port, wait_for_progress, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from support.docker_engine import DockerEngine

__all__ = ["ComposeStack", "Containers"]

Containers: TypeAlias = dict[str, list[dict[str, Any]]]
"""Containers by service, as `docker inspect` describes them."""

ROOT: Final = Path(__file__).resolve().parents[2]
STANDINS: Final = ROOT / "tests" / "stack" / "standins.yaml"
CALM: Final = ROOT / "tests" / "stack" / "calm.py"
PROJECT: Final = "loadstone-test"
SCALES: Final = {"locust-worker": 8, "target": 3}
"""How many containers a service has in a test that does not say otherwise."""
UID, GID = 12345, 12346
UP_TIMEOUT_S: Final = 900
BUILD_TIMEOUT_S: Final = 2400
SLOW_S: Final = 300.0
"""How long one step may take on a machine whose cores are all taken."""
IDLE: Final = frozenset({"ready", "stopped"})
ASK_INFLUX: Final = """
import base64, sys, urllib.parse, urllib.request
password, question = sys.argv[1:]
asked = urllib.parse.urlencode({"db": "loadstone", "q": question, "epoch": "ns"})
who = base64.b64encode(f"grafana:{password}".encode()).decode()
request = urllib.request.Request(f"http://influxdb:8086/query?{asked}", headers={"Authorization": f"Basic {who}"})
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""
WANTED_FILES: Final = 65_536
"""What the stack asks for; where the machine allows less, the tests say so and ask for that."""


class ComposeStack:
    """One project. ``settings`` are those of the file `env`; what the machine demands is set by itself.

    The workers run ``scenario``, which lies beside the shipped one and may import it. ``files`` are further compose
    files.
    """

    def __init__(
        self,
        engine: DockerEngine,
        folder: Path,
        *,
        scenario: Path = CALM,
        project: str = PROJECT,
        files: tuple[Path, ...] = (),
        **settings: str,
    ) -> None:
        self.engine = engine
        self.folder = folder
        self.project = project
        self._files = (ROOT / "docker-compose.yaml", *(() if engine.has_registry else (STANDINS,)), *files)
        self.results = folder / "results"
        self.ports = {name: free_port() for name in ("LOCUST_PORT", "LIVE_PORT", "GRAFANA_PORT", "MLFLOW_PORT")}
        self.scenario = folder / "scenario"
        self.settings = {**self._machine_settings(), "SCENARIO": scenario.name, **settings}
        self.scales = dict(SCALES)
        shutil.copytree(ROOT / "locust-worker", self.scenario)
        shutil.copy(scenario, self.scenario)
        for path in (folder, *folder.parents):  # workers run as another user and read the scenario
            if path.stat().st_uid == os.getuid() and path != Path(path.anchor):
                path.chmod(path.stat().st_mode | 0o055)

    def compose(self, *arguments: str, timeout_s: float = UP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run one compose command with these settings."""
        env = self.folder / "env"
        env.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        named = [part for file in self._files for part in ("-f", str(file))]
        options = ["--project-directory", str(ROOT), "--env-file", str(env), "-p", self.project]
        return self.engine.docker("compose", *options, *named, *arguments, timeout_s=timeout_s)

    def must(self, *arguments: str, timeout_s: float = UP_TIMEOUT_S) -> str:
        """Run one compose command that has to succeed; its standard output."""
        done = self.compose(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"compose {' '.join(arguments)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def build(self) -> None:
        """Build every image of the repository."""
        self.must("build", timeout_s=BUILD_TIMEOUT_S)

    def up(self, **scales: int) -> None:
        """Bring everything up and wait until all that stays is healthy; names with ``_`` stand for those with ``-``."""
        self.scales |= {name.replace("_", "-"): count for name, count in scales.items()}
        scaled = [part for name, count in self.scales.items() for part in ("--scale", f"{name}={count}")]
        done = self.compose("up", "-d", "--no-build", *scaled)
        assert done.returncode == 0, f"{done.stderr[-3000:]}\n{self.logs()}"
        self.wait_until_healthy()

    @contextmanager
    def brought_up(self, **scales: int) -> Iterator[Self]:
        """Build everything and bring it up; in the end nothing is left of it but the images."""
        try:
            self.build()
            self.up(**scales)
            yield self
        finally:
            left_out = f"left out here: {', '.join(LEFT_OUT)}"
            print(left_out if not self.engine.has_registry else "official images were used")
            self.down("-v")

    def settle(self) -> None:
        """Undo what earlier tests did: services are up at their usual scale, no run is active, workers are idle."""
        self.scales = dict(SCALES)
        running = Counter(one["Service"] for one in self.containers() if one["State"] == "running")
        if "locust-master" in running:
            self.end_run()
        if running != {name: SCALES.get(name, 1) for name in self._staying_services()}:
            self.up()
        self.wait_until_healthy()
        self.wait_for_workers()

    def end_run(self) -> None:
        """Stop the current run, if there is one, and wait until the master is idle again."""
        if self.control_state()["state"] in IDLE:
            return
        ask(f"{self.locust}/stop", {})
        wait_until(lambda: self.control_state()["state"] in IDLE, "the run has ended", timeout_s=SLOW_S)

    def wait_for_workers(self) -> None:
        """Wait until as many workers as there are containers have joined: after a run they take its stop-timeout."""
        workers = self.scales["locust-worker"]

        def joined() -> float:
            # The master still counts a killed worker for a while.
            return -abs(float(self.control_state()["workers"]) - workers)

        wait_for_progress(joined, 0, f"workers missing or too many of {workers}", stalled_s=120)

    def _staying_services(self) -> set[str]:
        """The services that do not end by themselves."""
        services = json.loads(self.must("config", "--format", "json"))["services"]
        return {name for name, about in services.items() if about.get("restart") != "no"}

    def wait_until_healthy(self, timeout_s: float = SLOW_S) -> None:
        """Wait until every container that stays up is healthy."""

        def all_healthy() -> bool:
            return all(one["Health"] in {"healthy", ""} for one in self.containers() if one["State"] == "running")

        wait_until(all_healthy, "every service is healthy", timeout_s=timeout_s)

    def down(self, *arguments: str) -> None:
        """Stop and remove the containers; with ``-v`` the volumes too.

        Engines up to 20.10 may keep the endpoint of a container that was killed, or count endpoints that are gone; both
        keep a network from being removed (moby issues 33156 and 43286).
        """
        command = ("down", "--remove-orphans", "-t", "20", *arguments)
        done = self.compose(*command)
        for mend in (self._release_endpoints, self.engine.restart):
            if "active endpoints" in done.stderr:
                mend()
                done = self.compose(*command)
        assert done.returncode == 0, done.stderr[-4000:]

    def _release_endpoints(self) -> None:
        """Take what is left of removed containers off the project's networks."""
        filters = ("--filter", f"label=com.docker.compose.project={self.project}")
        for network in self.engine.must("network", "ls", "-q", *filters).split():
            for about in json.loads(self.engine.docker("network", "inspect", network).stdout):
                for endpoint in about["Containers"].values():
                    self.engine.docker("network", "disconnect", "-f", network, endpoint["Name"])

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """All containers of the project, or of one service, those that have ended too."""
        lines = self.must("ps", "-a", "--format", "json", *([service] if service else [])).splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def names(self, service: str) -> list[str]:
        """The running containers of a service, by number."""
        return sorted(one["Name"] for one in self.containers(service) if one["State"] == "running")

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """What the engine knows of containers."""
        found: list[dict[str, Any]] = json.loads(self.engine.must("inspect", *names))
        return found

    def by_service(self) -> Containers:
        """What the engine knows of all containers of the project, by service."""
        found: Containers = {}
        for one in self.inspect(*(one["Name"] for one in self.containers())):
            found.setdefault(one["Config"]["Labels"]["com.docker.compose.service"], []).append(one)
        return found

    def kill(self, name: str) -> int:
        """Kill a container's first process from outside, as an accident would. Its process id."""
        pid = int(self.inspect(name)[0]["State"]["Pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def lose(self, service: str) -> None:
        """Kill the first container of a service, and wait until its restart policy has brought it back."""
        name = self.names(service)[0]
        pid = self.kill(name)

        def back() -> bool:
            state = self.inspect(name)[0]["State"]
            return state["Pid"] not in {0, pid} and state["Health"]["Status"] == "healthy"

        wait_until(back, f"{name} is back", timeout_s=SLOW_S)

    def logs(self, *services: str, tail: int = 40) -> str:
        """The last lines of what services said."""
        return self.compose("logs", "--no-color", "--tail", str(tail), *services).stdout

    def inside(self, service: str, *command: str, index: int = 1) -> subprocess.CompletedProcess[str]:
        """Run a command in a container."""
        return self.compose("exec", "-T", "--index", str(index), service, *command)

    @property
    def locust(self) -> str:
        """Locust's web UI."""
        return f"http://127.0.0.1:{self.ports['LOCUST_PORT']}"

    def start_run(self, users: int, spawn_rate: int) -> None:
        """Start a run as Locust's own form does, and wait until all its users run."""
        self.end_run()
        self.wait_for_workers()
        answer = ask(f"{self.locust}/swarm", {"user_count": str(users), "spawn_rate": str(spawn_rate)})
        assert answer["success"], answer
        self.wait_for_users(users)

    def wait_for_users(self, users: int) -> None:
        """Wait until this many users run, as long as their number still rises."""
        wait_for_progress(lambda: float(self.control_state()["users"]), users, "users that run")
        wait_until(lambda: self.control_state()["users"] == users, f"{users} users run and no more", timeout_s=SLOW_S)

    def wait_for_requests(self, more: int) -> None:
        """Wait until Locust has counted this many more requests."""
        goal = self.totals()["requests"] + more
        wait_for_progress(lambda: float(self.totals()["requests"]), goal, "requests that Locust counted")

    def wait_for_predictions(self, more: int) -> None:
        """Wait until every replica of the target that runs now has answered this many more requests."""
        before = self.predictions()

        def least() -> float:
            return min(count - before[name] for name, count in self.predictions().items())

        wait_for_progress(least, more, "requests that the slowest replica answered")

    def totals(self) -> dict[str, int]:
        """Requests and failures as Locust counts them."""
        (total,) = [row for row in ask(f"{self.locust}/stats/requests")["stats"] if row["name"] == "Aggregated"]
        return {"requests": total["num_requests"], "failures": total["num_failures"]}

    def final_totals(self, run: dict[str, Any]) -> dict[str, int]:
        """The same for a run that has ended, once Locust's page shows what its master reported at the end.

        The page answers from a cache of two seconds, which Locust doubles each time that an answer was slow.
        """
        reported: dict[str, int] = {what: run["locust"][what] for what in ("requests", "failures")}
        wait_until(lambda: self.totals() == reported, f"Locust's page shows {reported}", timeout_s=SLOW_S)
        return reported

    def stop_run(self) -> dict[str, Any]:
        """Stop the current run, wait until it is archived, and read its run.json."""
        run = self.control_state()["run"]
        ask(f"{self.locust}/stop", {})
        return self.archived(run)

    def control_state(self) -> dict[str, Any]:
        """What the control API of the master says about the current or the latest run."""
        found: dict[str, Any] = ask(f"{self.locust}/loadstone/runs")
        return found

    def archived(self, run: str, timeout_s: float = SLOW_S) -> dict[str, Any]:
        """The run.json of a run, once it is closed and InfluxDB has it."""
        file = self.results / run / "run.json"

        def complete() -> bool:
            if not file.exists():
                return False
            return bool(json.loads(file.read_text())["ledgers"].get("influx", {}).get("pending") == 0)

        wait_until(complete, f"{file} is there and InfluxDB has everything", timeout_s=timeout_s)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def secrets(self) -> dict[str, str]:
        """Every secret of the stack, read by root from the store that only `init` has."""
        volume = self.engine.must("volume", "inspect", f"{self.project}_secrets-store", "-f", "{{.Mountpoint}}").strip()
        values: dict[str, str] = json.loads((Path(volume) / "secrets.json").read_text())
        return values

    def influx(self, question: str) -> list[dict[str, Any]]:
        """Rows of an InfluxQL question; columns and tags by name. Asked as Grafana asks."""
        done = self.inside("collector", "python", "-c", ASK_INFLUX, self.secrets()["grafana_influx_password"], question)
        assert done.returncode == 0, done.stderr
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for result in json.loads(done.stdout)["results"]
            for series in result.get("series", [])
            for values in series["values"]
        ]

    def predictions(self) -> dict[str, int]:
        """What each replica of the target says that it answered with success since it started, by container."""
        return {name: self._predictions_of(name) for name in self.names("target")}

    def _predictions_of(self, name: str) -> int:
        program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
        text = self.engine.must("exec", name, "python", "-c", program)
        lines = (line for line in text.splitlines() if line.startswith("target_predict_requests_total"))
        return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'outcome="ok"' in line)

    def _machine_settings(self) -> dict[str, str]:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
        standins = {} if self.engine.has_registry else {"PYTHON_IMAGE": "loadstone-standin/python"}
        return {
            **{name: str(port) for name, port in self.ports.items()},
            **standins,
            "LOADSTONE_IMAGES": PROJECT,
            "LOADSTONE_UID": str(UID),
            "LOADSTONE_GID": str(GID),
            "RESULTS_FOLDER": str(self.results),
            "SCENARIO_FOLDER": str(self.scenario),
            "OPEN_FILES": str(files),
            # HAProxy needs two files for each connection, and some for itself.
            "BALANCER_MAXCONN": str(min(12_000, (files - 1000) // 2)),
            "DOCKER_SOCKET": str(self.engine.socket),
        }


def ask(url: str, form: dict[str, str] | None = None, timeout_s: float = 60) -> Any:
    """GET, or POST a form as the server's own page does, and read JSON; what fails or is slow is tried again."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.addheaders = [("Origin", "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url)))]
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with opener.open(url, data, timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
