"""Whole runs: no secret leaves Locust's processes, and a run outlives its reader, but not its terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import subprocess
import termios
from typing import TYPE_CHECKING

import psutil
import pyarrow.parquet as pq
import pytest

from loadstone.archive.journal.entry import Content, decode_entry
from loadstone.archive.journal.reader import read_journal
from loadstone.domain.batch import Batch
from loadstone.errors import ExitCode
from support.environ import without_settings
from support.loadstone_run import CALM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.loadstone_run import LoadstoneRun

SECRET = "hunter2"
TALKATIVE = """from locust import HttpUser, constant, events, task

@events.init_command_line_parser.add_listener
def declare(parser):
    parser.add_argument("--api-key", default="none")

class Buyer(HttpUser):
    wait_time = constant(0.1)

    @task
    def look(self):
        key = self.environment.parsed_options.api_key
        print(f"the host is {self.host}, password={key}", flush=True)
        with self.client.get(f"/look?token={key}", catch_response=True) as answer:
            answer.failure(f"Authorization: Bearer {key} refused")
        raise ValueError(f"client_secret={key} is wrong")
"""
QUICK = ("-u", "2", "-r", "10", "--workers", "1", *CALM)


def texts(folder: Path) -> Iterator[str]:
    """Every text in a run folder, whatever packs it."""
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            yield str(pq.read_table(path).to_pylist())
        elif path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
    yield from map(repr, journal_of(folder))


def journal_of(folder: Path) -> list[Content]:
    return [decode_entry(entry.kind, entry.blob) for entry in read_journal(folder / "journal")]


@pytest.mark.attack("secrets in host, options, names, errors, exceptions and logs of a run", "none in what is kept")
def test_no_secret_is_kept_shown_or_listed(new_run, counting_server, tmp_path: Path):
    scenario = tmp_path / "talkative.py"
    scenario.write_text(TALKATIVE)
    host = counting_server.url.replace("//", f"//bob:{SECRET}@")
    given = ("--host", host, "--api-key", SECRET)
    run = new_run(None, "-f", str(scenario), *given, *QUICK, "-t", "4s").start()
    run.wait_for(lambda: counting_server.count().total or None)
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) >= 4
    assert not [line for child in children if SECRET in (line := " ".join(child.cmdline()))]
    assert run.finish() == ExitCode.FAIL, run.output
    assert SECRET not in run.output
    everything = "\n".join(texts(run.run_folder()))
    assert SECRET not in everything
    assert "/look?token=***" in everything
    found = run.run_json()
    assert found["host"] == host.replace(f"bob:{SECRET}", "***")
    failures = (run.run_folder() / "failures.csv").read_text()
    assert "Authorization: Bearer ***" in failures
    log = (run.run_folder() / "logs" / "worker-1.log").read_text()
    assert f"the host is {found['host']}, password=***" in log
    assert found["requests"] == found["locust"]["requests"]
    assert not run.left_behind()


def test_who_wants_to_see_secrets_sees_them_everywhere(new_run, counting_server, tmp_path: Path):
    scenario = tmp_path / "talkative.py"
    scenario.write_text(TALKATIVE)
    host = counting_server.url.replace("//", f"//bob:{SECRET}@")
    run = new_run(None, "-f", str(scenario), "--host", host, "--api-key", SECRET, *QUICK, "-t", "2s")
    run.variables["LOADSTONE_MASKING"] = "no"
    assert run.run() == ExitCode.FAIL, run.output
    folder = run.run_folder()
    assert run.run_json()["host"] == host
    for name in ("failures.csv", "exceptions.csv", "stats.csv", "events.jsonl", "logs/worker-1.log", "report.html"):
        assert SECRET in (folder / name).read_text(), name
    assert all(SECRET in repr(batch) for batch in journal_of(folder) if isinstance(batch, Batch) and batch.errors)
    assert "***" not in "".join(texts(folder))


@pytest.mark.attack("a reader of a run that leaves (`run | head -1`)", "it is measured to its end and judged")
def test_a_run_outlives_its_reader(new_run, counting_server):
    run = new_run("steady", "--host", counting_server.url, *QUICK, "-t", "4s").start()
    assert run.process.stdout.readline()
    run.process.stdout.close()
    run.process.stdout = None
    run.wait_for(lambda: counting_server.count().total or None)
    assert run.finish() == ExitCode.PASS
    assert run.run_json()["requests"] == counting_server.count().total
    assert not run.left_behind()


def in_terminal(run: LoadstoneRun) -> int:
    """Start a run in a terminal of its own; the terminal's other end."""
    ours, theirs = pty.openpty()
    run.temporary.mkdir(parents=True)
    run.process = subprocess.Popen(
        [*run._program(), run.verb, "--results", str(run.results), *run.arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=without_settings() | {"TMPDIR": str(run.temporary), "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    return ours


@pytest.mark.attack("a terminal that is closed during a run", "the run ends, is archived, and nothing is left behind")
def test_a_run_ends_with_its_terminal_and_is_archived(new_run, counting_server):
    run = new_run("steady", "--host", counting_server.url, *QUICK, "-t", "80s")
    terminal = in_terminal(run)
    os.set_blocking(terminal, False)

    def has_begun() -> bool | None:
        with contextlib.suppress(BlockingIOError):
            os.read(terminal, 65536)
        return counting_server.count().total > 20 or None

    run.wait_for(has_begun)
    os.close(terminal)
    assert run.finish() == ExitCode.INTERRUPTED
    found = run.run_json()
    assert found["requests"] == counting_server.count().total
    assert (run.run_folder() / "logs" / "aggregator.log").exists()
    assert not run.left_behind()
