"""Settings that Locust reads by itself, options that the file shares with loadstone, and ways to name a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE, visitor

if TYPE_CHECKING:
    from support.threefold import Threefold

USER = visitor("/visit", 3)


@pytest.mark.conforms("users and spawn rate from `LOCUST_USERS` and `LOCUST_SPAWN_RATE`", "equal")
def test_variables(threefold: Threefold):
    environ = {"LOCUST_USERS": "4", "LOCUST_SPAWN_RATE": "50", "LOCUST_RUN_TIME": "8s", "LOCUST_HOST": "{host}"}
    compared = threefold.compare(USER, environ=environ, load=False, host=False).equal(requests=12).passed()
    assert compared.run.run_json()["users"] == 4


@pytest.mark.conforms("`locust.conf` in the current folder", "equal")
def test_a_file_in_the_folder(threefold: Threefold):
    files = {"locust.conf": "users = 4\nspawn-rate = 50\nrun-time = 8s\nhost = {host}\n"}
    compared = threefold.compare(USER, files=files, load=False, host=False).equal(requests=12).passed()
    assert compared.run.run_json()["users"] == 4


@pytest.mark.conforms("`[tool.locust]` in `pyproject.toml`", "equal")
def test_a_project_file(threefold: Threefold):
    files = {"pyproject.toml": '[tool.locust]\nusers = 4\nspawn-rate = 50\nrun-time = "8s"\nhost = "{host}"\n'}
    compared = threefold.compare(USER, files=files, load=False, host=False).equal(requests=12).passed()
    assert compared.run.run_json()["users"] == 4


@pytest.mark.conforms("the command line before `LOCUST_USERS`, and that before `locust.conf`", "equal")
def test_precedence(threefold: Threefold):
    files = {"locust.conf": "users = 9\n"}
    compared = threefold.compare(USER, "-u", "4", files=files, environ={"LOCUST_USERS": "7"})
    compared.equal(requests=12).passed()
    assert compared.run.run_json()["users"] == 4


SHARING = (
    USER
    + """
@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--model", default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--registry", default="none")


def get(user):
    options = user.environment.parsed_options
    user.client.get(f"/{options.model}/{options.seed}/{options.registry}")


Visitor.tasks = [get]
"""
)


@pytest.mark.conforms("options of the file's own that loadstone has as well: the file gets them", "equal")
def test_shared_options(threefold: Threefold):
    given = ("--model", "forest", "--seed", "7", "--registry", "here")
    compared = threefold.compare(SHARING, *given).equal(requests=6).passed()
    assert set(compared.loadstone.rows) == {"GET /forest/7/here"}


@pytest.mark.conforms("a path with spaces and letters of other scripts", "equal")
def test_a_path_with_spaces(threefold: Threefold):
    threefold.compare(USER, named="my files/locust ü.py").equal(requests=6).passed()


@pytest.mark.conforms("no `-f`, and a `locustfile.py` in the current folder", "equal")
def test_the_file_that_locust_finds(threefold: Threefold):
    threefold.compare(USER, given="").equal(requests=6).passed()


@pytest.mark.conforms("a user class named after `-f FILE`", "equal")
def test_a_class_behind_the_file(threefold: Threefold):
    two = USER + USER[len(PRELUDE) :].replace("Visitor", "Other").replace("/visit", "/other")
    compared = threefold.compare(two, "-f", "locustfile.py", "Other", given="").equal(requests=6).passed()
    assert set(compared.loadstone.rows) == {"GET /other"}


@pytest.mark.conforms("output of an `atexit` function of the file", "equal")
def test_output_at_exit(threefold: Threefold):
    source = USER + "\nimport atexit\n\natexit.register(print, 'gone', flush=True)\n"
    threefold.compare(source).equal(requests=6).passed()


@pytest.mark.conforms(
    "`--processes`", "refused on purpose: loadstone starts the workers itself, `--workers` says how many"
)
def test_processes(threefold: Threefold):
    _, loadstone = threefold.try_both(USER, "--processes", "2", "-t", "4s")
    assert loadstone.exit_code == 2, loadstone.output
    assert "--workers" in loadstone.output
