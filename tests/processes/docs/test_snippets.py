"""Code of the documentation is used as a reader would: Python in a scenario or beside one, SQL on a real run."""

from __future__ import annotations

import re
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import loadstone
from support.closed_runs import MadeRun
from support.docs.blocks import Block, all_blocks
from support.docs.reader import CODES
from support.docs.shortened import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun

SNIPPETS = [block for block in all_blocks() if block.language == "python" and block.page != "docs/tutorial.md"]
"""Those of the tutorial are run with it."""
WITH_RUNS = ("def ask(self)", "WORKERS = ", "class Daily")
"""What the snippets hold that have a test of their own here, in which a run uses them."""
BEFORE = """\
import time
from locust import between, events, tag, task
from locust.runners import WorkerRunner
from loadstone import LeanHttpUser
ACCOUNTS, BODY, USER = [f"account-{n}" for n in range(10)], {"prompt": "Hello"}, {"name": "a"}
"""
WAITING = "wait_time = between(0.05, 0.1)\n"
USERS, ASKERS = 8, 2
OBJECTIVE = ("--objective", "p95[TTFT /v1/chat/completions]<800ms")
STREAM = b"data: one\n\ndata: two\n\ndata: [DONE]\n\n"


def snippet(words: str) -> Block:
    """The one that holds these words."""
    (found,) = [block for block in SNIPPETS if words in block.text]
    return found


def scenario(*parts: str) -> str:
    return "\n\n".join([BEFORE, *parts])


def indented(text: str) -> str:
    return re.sub(r"^(?=.)", "    ", text, flags=re.MULTILINE)


OTHERS = [block for block in SNIPPETS if not any(words in block.text for words in WITH_RUNS)]


@pytest.mark.parametrize("block", OTHERS, ids=map(str, OTHERS))
def test_a_snippet_is_part_of_a_user_class_and_finds_all_that_it_names(block: Block):
    is_whole = "class " in block.text or "import LeanHttpUser" in block.text
    imports = "".join(line for line in block.text.splitlines(keepends=True) if line.startswith("from "))
    inside = block.text.removeprefix(imports)
    text = block.text if is_whole else f"{imports}\nclass Caller(LeanHttpUser):\n{indented(inside)}"
    names: dict[str, Any] = {"__name__": "scenario"}
    exec(compile(scenario(text), str(block), "exec"), names)  # noqa: S102  (it is our own documentation)
    made = [each for each in names.values() if isinstance(each, type) and each.__module__ == "scenario"]
    assert all(issubclass(each, loadstone.LeanHttpUser) for each in made)
    assert made or "LeanHttpUser" in text


class StreamingHandler(BaseHTTPRequestHandler):
    """Answers every request with three events."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(STREAM)))
        self.end_headers()
        self.wfile.write(STREAM)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def streaming_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StreamingHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def record_of_both(
    folder: Path, counting_server: CountingServer, streaming_url: str, typed_run: Callable[..., LoadstoneRun]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run of two workers whose users have accounts of their own, or ask a model that streams: its record and rows."""
    dealing = snippet("WORKERS = ").text.replace("WORKERS = 8", f"WORKERS = {WORKERS}")
    buying = f'host = "{counting_server.url}"\n\n@task\ndef buy(self):\n    self.client.get(f"/{{self.account}}")\n'
    asking = f'fixed_count = {ASKERS}\nhost = "{streaming_url}"\n\n{snippet("def ask").text}'
    (folder / "both.py").write_text(
        scenario(
            f"{dealing}\n{indented(WAITING + buying)}", f"class Asker(LeanHttpUser):\n{indented(WAITING + asking)}"
        )
    )
    words = ("--workers", str(WORKERS), "-u", str(USERS), "-r", str(USERS), "-t", "4s", *OBJECTIVE)
    run = typed_run("-f", "both.py", *words)
    assert run.run() in CODES.values(), run.output
    rows = pq.read_table(run.run_folder() / "requests.parquet", columns=["method", "name", "worker"]).to_pylist()
    return run.run_json(), rows


def test_accounts_belong_to_one_worker_and_first_tokens_are_requests(
    record_of_both: tuple[dict[str, Any], list[dict[str, Any]]],
):
    record, rows = record_of_both
    used = {(row["name"], row["worker"]) for row in rows if row["name"].startswith("/account-")}
    assert len(used) == len({account for account, _ in used}) == USERS - ASKERS, "no account is used by two workers"
    assert len({worker for _, worker in used}) == WORKERS
    asked = [row["method"] for row in rows if row["name"] == "/v1/chat/completions"]
    assert asked.count("TTFT") == asked.count("POST") > 0
    assert record["failures"] == 0
    assert record["objectives"][0]["value"] is not None


def test_a_daily_shape_swings_around_its_mean_and_ends():
    names: dict[str, Any] = {"__name__": "scenario"}
    exec(snippet("class Daily").text, names)  # noqa: S102  (it is our own documentation)
    shape = names["Daily"]()
    assert isinstance(shape, loadstone.ArrivalShape)
    assert [round(shape.rate(at)) for at in (0, 30, 90)] == [300, 500, 100]
    assert shape.rate(601) is None


def test_queries_of_the_docs_read_a_run(tmp_path: Path):
    """SQLite stands for DuckDB, which is no dependency, and the rows of the Parquet file are put into a table of it."""
    queries = [block for block in all_blocks() if block.language == "sql"]
    assert len(queries) == 1
    run = MadeRun().close(tmp_path / "results")
    table = pq.read_table(run.path / "requests.parquet")
    for query in queries:
        text, places = re.subn(r"'results/RUN/requests\.parquet'", "requests", query.text)
        assert places == 1
        with sqlite3.connect(":memory:") as database:
            database.execute(f"CREATE TABLE requests ({', '.join(table.column_names)})")
            rows = [[*map(_plain, row.values())] for row in table.to_pylist()]
            database.executemany(f"INSERT INTO requests VALUES ({', '.join('?' * table.num_columns)})", rows)
            bands = dict(database.execute(text).fetchall())
        assert sum(bands.values()) == table.num_rows
        assert bands["failed"] == table.num_rows - sum(table.column("ok").to_pylist()) > 0


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str | bool | None) else str(value)
