"""Wrong use: exit 2, one clear sentence, nothing started, nothing overwritten, nothing left."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import REPOSITORY, SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path


def refuse(run, *words: str) -> None:
    assert run.run() == 2, run.output
    lines = [line for line in run.output.splitlines() if line.strip()]
    assert len(lines) == 1, run.output
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in run.output
    assert not run.left_behind()
    assert not run.results.exists() or not any(run.results.iterdir())


def test_an_unknown_file_is_named(new_run, counting_server):
    run = new_run(None, "-f", "nowhere.py", "--host", counting_server.url)
    refuse(run, "nowhere.py", "does not exist", "-f FILE")


def test_a_scenario_without_users_is_refused(new_run, counting_server):
    refuse(new_run("empty", "--host", counting_server.url), "empty.py", "no user class")


def test_a_scenario_that_cannot_be_loaded_is_refused_with_its_own_error(new_run, counting_server, tmp_path: Path):
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_anywhere\n")
    run = new_run(None, "-f", str(broken), "--host", counting_server.url)
    refuse(run, "broken.py", "ModuleNotFoundError", "no_such_module_anywhere")


def test_a_host_that_does_not_answer_is_named(new_run):
    refuse(new_run("mixed", "--host", "http://127.0.0.1:1"), "http://127.0.0.1:1", "cannot be reached", "--host")


@pytest.mark.parametrize("option", ["--master-port"])
def test_a_taken_port_is_named(new_run, counting_server, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refuse(new_run("mixed", "--host", counting_server.url, option, port), option, port, "cannot be used")


def test_fewer_than_one_user_is_refused(new_run, counting_server):
    refuse(new_run("mixed", "--host", counting_server.url, "-u", "0"), "--users", "'0'", "at least 1")


@pytest.mark.parametrize("text", ["p95<500", ""])
def test_an_objective_that_does_not_parse_is_named_with_what_is_allowed(new_run, counting_server, text):
    run = new_run("mixed", "--host", counting_server.url, "--objective", text or " <")
    refuse(run, text or "<")


def test_results_that_cannot_be_written_are_named(new_run, counting_server, tmp_path: Path):
    (tmp_path / "a-file").write_text("precious")
    run = new_run("mixed", "--host", counting_server.url)
    run.arguments = (*run.arguments, "--results", str(tmp_path / "a-file"))
    refuse(run, "a-file", "cannot be written", "--results")
    assert (tmp_path / "a-file").read_text() == "precious"


def test_a_model_that_the_registry_does_not_have_is_named(new_run, tmp_path: Path):
    run = new_run(None, "--demo-registry", f"sqlite:///{tmp_path / 'registry.db'}", "--demo-model", "models:/absent/1")
    refuse(run, "models:/absent/1", "not in the registry")


def test_a_model_without_a_signature_is_refused(new_run, tmp_path: Path):
    registry = f"sqlite:///{tmp_path / 'registry.db'}"
    program = REPOSITORY / "tests" / "support" / "registry_without_signature.py"
    subprocess.run([sys.executable, program, registry, "bare"], cwd=tmp_path, check=True, capture_output=True)
    run = new_run(None, "--demo-registry", registry, "--demo-model", "models:/bare/1")
    refuse(run, "bare/1", "no signature")


def test_an_argument_that_nobody_knows_is_named(new_run, counting_server):
    refuse(new_run("mixed", "--host", counting_server.url, "--colour", "red"), "--colour")


def test_a_stream_server_that_does_not_answer_is_named(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, "--redis-url", "redis://127.0.0.1:1/0")
    assert run.run() == 4
    assert "127.0.0.1:1" in run.output
    assert not run.left_behind()


def test_all_wrong_settings_are_told_at_once(new_run, counting_server):
    run = new_run("mixed", "--host", "http://", "-u", "x", "-t", "soon")
    assert run.run() == 2
    assert [word in run.output for word in ("--host", "--users", "--run-time")] == [True] * 3
    assert (SCENARIOS / "mixed.py").exists()
