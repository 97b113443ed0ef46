"""What a Threefold runs: the two sides of a comparison with their folders and servers, and the outcome of each."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from support.counting_server import Count, CountingServer
from support.loadstone_run import CALM, LoadstoneRun
from support.locust_figures import Row, plain_errors, plain_rows, read_errors, read_rows, tally
from support.plain_locust import TIMEOUT_S, start_plain_locust
from support.style_server import StyleServer

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from support.threefold import Threefold

LATENCY_MS = 30.0
"""What the server adds to each answer, far more than a client takes."""
RUN_TIME = {"locust": "8s", "loadstone": "4s"}
"""Plain Locust waits for loadstone anyway, whose run time counts from the start of its users."""
STRICT = (*CALM, "--objective", "failures==0")
"""Plain Locust exits with 1 when a request failed; this objective says the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one of the two made of the file: its statistics by ``"GET /path"``, and what its server received."""

    exit_code: int
    rows: dict[str, Row]
    errors: Counter[str]
    exceptions: Counter[str]
    count: Count
    output: str

    @property
    def requests(self) -> int:
        """All requests that were counted."""
        return sum(row.requests for row in self.rows.values())

    @property
    def failures(self) -> int:
        """The failed ones among them."""
        return sum(row.failures for row in self.rows.values())

    def below(self, path: str) -> Outcome:
        """The part of it whose names begin with a path."""
        served = {key: value for key, value in self.count.requests.items() if _path(key).startswith(path)}
        return replace(
            self,
            rows={name: row for name, row in self.rows.items() if _path(name).startswith(path)},
            errors=Counter({text: n for text, n in self.errors.items() if _path(text).startswith(path)}),
            count=replace(self.count, requests=served, total=sum(served.values())),
        )

    def like(self, other: Outcome) -> None:
        """Assert that every count is that of the other one, and say which are not."""
        _same("requests and failures", self.by_name(), other.by_name())
        _same("errors", self.errors, other.errors)
        _same("exceptions", self.exceptions, other.exceptions)
        _same("received", self.count.requests, other.count.requests)

    def by_name(self) -> dict[str, tuple[int, int]]:
        """Requests and failures of each request name."""
        return {name: (row.requests, row.failures) for name, row in self.rows.items()}


class Sides:
    """The two folders, servers and environments of one comparison.

    The Locust file is called ``named`` and given to ``-f`` as ``given``, if that is another one; an empty ``given`` is
    no ``-f``. ``files`` are further files by name beside it, ``environ`` further variables; ``host=False`` gives no
    ``--host``, ``load=False`` no users and no run time. Each side has as many ``servers`` as asked for, all with the
    same ``latency_ms`` and ``failing`` shares of requests by path; texts name them ``{host}``, ``{host2}`` or
    ``{port}``, and ``{grpc}`` and ``{websocket}`` where ``server`` is a `StyleServer`. ``workers`` and ``objectives``
    are loadstone's.
    """

    def __init__(
        self,
        threefold: Threefold,
        source: str | Path,
        *,
        files: dict[str, str] | None = None,
        environ: dict[str, str] | None = None,
        named: str = "locustfile.py",
        given: str | None = None,
        host: bool = True,
        load: bool = True,
        failing: dict[str, float] | None = None,
        latency_ms: float = LATENCY_MS,
        workers: int | None = 1,
        objectives: Sequence[str] = STRICT,
        servers: int = 1,
        server: type[CountingServer] = CountingServer,
    ) -> None:
        self.folders = {name: threefold.new_folder(name) for name in ("locust", "loadstone")}
        self.servers: dict[str, list[CountingServer]] = {}
        self.environ = environ or {}
        self.given = given if given is not None else str(source) if isinstance(source, Path) else named
        self.host, self.load, self.workers, self.objectives = host, load, workers, objectives
        self.stack = threefold.stack
        for name, folder in self.folders.items():
            started = [server(folder / f"server{number}", latency_ms=latency_ms) for number in range(servers)]
            self.servers[name] = [self.stack.enter_context(each) for each in started]
            for each in started:
                each.configure(failures=failing or {})
            texts = {} if isinstance(source, Path) else {named: source}
            (folder / "at").mkdir()
            for file, content in {**texts, **(files or {})}.items():
                self._write(folder / "at" / file, self._filled(name, content))

    @staticmethod
    def _write(path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def options(self, options: Sequence[str]) -> tuple[str, ...]:
        """The options of both: the file, a host, and a load of two users for two seconds where none was asked for."""
        files = ("-f", self.given) if self.given else ()
        host = ("--host", "{host}") if self.host else ()
        given = {option.split("=")[0] for option in options}
        load = [("-u", "2"), ("-r", "100")] if self.load else []
        return (*files, *host, *(part for pair in load if pair[0] not in given for part in pair), *options)

    def run_time(self, side: str, options: Sequence[str]) -> tuple[str, ...]:
        """How long a run lasts for which neither the test nor its file says so."""
        return ("-t", RUN_TIME[side]) if self.load and "-t" not in options else ()

    def _filled(self, side: str, text: str) -> str:
        for number, server in enumerate(self.servers[side], start=1):
            text = text.replace("{host}" if number == 1 else f"{{host{number}}}", server.url)
            text = text.replace("{port}" if number == 1 else f"{{port{number}}}", str(server.port))
            if isinstance(server, StyleServer):
                text = text.replace("{grpc}", str(server.grpc_port)).replace("{websocket}", str(server.websocket_port))
        return text

    def _environment(self, side: str) -> dict[str, str]:
        """What is set beside this process's own variables: an empty home, and what the test asks for."""
        home = self.folders[side] / "home"
        home.mkdir(exist_ok=True)
        ours = {name: self._filled(side, value) for name, value in self.environ.items()}
        return {"HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1", **ours}

    def start_locust(self, *options: str) -> subprocess.Popen[str]:
        """Start plain ``locust``."""
        folder = self.folders["locust"]
        filled = [self._filled("locust", option) for option in options]
        process = start_plain_locust(
            "--csv", folder / "plain", *filled, cwd=folder / "at", variables=self._environment("locust")
        )
        self.stack.callback(_end, process)
        return process

    def start_loadstone(self, *options: str) -> LoadstoneRun:
        """Start ``loadstone run``."""
        side = "loadstone"
        folder = self.folders[side]
        filled = tuple(self._filled(side, option) for option in options)
        workers = () if self.workers is None else ("--workers", str(self.workers))
        given = (*filled, *workers, *self.objectives)
        run = LoadstoneRun(folder, given, cwd=folder / "at", variables=self._environment(side))
        self.stack.callback(run.kill_leftovers)
        return run.start()

    def locust_outcome(self, process: subprocess.Popen[str]) -> Outcome:
        """Wait for plain Locust and read what it wrote."""
        said, _ = process.communicate(timeout=TIMEOUT_S)
        folder = self.folders["locust"]
        return Outcome(
            exit_code=process.returncode,
            rows=plain_rows(folder / "plain_stats.csv", said),
            errors=self._placed("locust", plain_errors(folder / "plain_failures.csv", said)),
            exceptions=tally(folder / "plain_exceptions.csv", "Count", "{Message}"),
            count=self._count("locust"),
            output=said,
        )

    def loadstone_outcome(self, run: LoadstoneRun) -> Outcome:
        """Wait for the run and read its folder."""
        code = run.finish(TIMEOUT_S)
        folder = run.run_folder()
        return Outcome(
            exit_code=code,
            rows=read_rows(folder / "stats.csv"),
            errors=self._placed("loadstone", read_errors(folder / "failures.csv")),
            exceptions=tally(folder / "exceptions.csv", "Count", "{Message}"),
            count=self._count("loadstone"),
            output=run.output,
        )

    def _placed(self, side: str, texts: Counter[str]) -> Counter[str]:
        """The texts with ``{port}`` where they name the port of the side's own server."""
        ports = [str(server.port) for server in self.servers[side]]
        named = Counter[str]()
        for text, number in texts.items():
            named[re.sub(rf"\b({'|'.join(ports)})\b", "{port}", text)] += number
        return named

    def _count(self, side: str) -> Count:
        return _sum([server.count() for server in self.servers[side]])


def _same(what: str, ours: Mapping[str, object], plain: Mapping[str, object]) -> None:
    """Assert that two mappings are equal; the message has only what differs."""
    differing = {key: (plain.get(key), ours.get(key)) for key in {*ours, *plain} if plain.get(key) != ours.get(key)}
    assert not differing, f"{what}, with plain locust and with loadstone: {differing}"


def _path(key: str) -> str:
    """The name of a request in ``"GET /path"``; its type may be empty."""
    return key.partition(" ")[2]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def _sum(counts: list[Count]) -> Count:
    requests: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for number, count in enumerate(counts, start=1):
        requests.update({f"{key} @{number}" if number > 1 else key: value for key, value in count.requests.items()})
        statuses.update(count.statuses)
    return Count(
        total=sum(count.total for count in counts),
        requests=dict(requests),
        statuses=dict(statuses),
        connections=sum(count.connections for count in counts),
        open_connections=sum(count.open_connections for count in counts),
    )
