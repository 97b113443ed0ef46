"""Settings that Locust reads by itself: variables, its configuration files, its command line, in Locust's own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadstone.cli import main as cli
from loadstone.cli.scenario_line import ScenarioLine, read_line
from loadstone.errors import SettingsError, UsageError
from loadstone.launch.demo_files import default_locustfile
from loadstone.settings import RunSettings, WorkerSettings

SCENARIO = """from locust import User, events
@events.init_command_line_parser.add_listener
def declare(parser):
    parser.add_argument("--page", default="/", env_var="PAGE")
    parser.add_argument("--fast", action="store_true")
class Buyer(User):
    pass
class Seller(User):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a locustfile.py, and a home folder of its own."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "locustfile.py").write_text(SCENARIO)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    return here


def line_of(*words: str) -> ScenarioLine[Any]:
    return read_line(RunSettings, cli.parser().parse_args(["run"]), words)


def put(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Ask for 7 users, 3 a second, 90 s, a host, a tag, a class and a page, in one source; the words it needs."""
    conf = "users = 7\nspawn-rate = 3\nrun-time = 1m30s\nhost = http://a.test\ntags = [one]\nstop-timeout = 4\n"
    conf += "page = /p\nfast = true\nloglevel = DEBUG\nlogfile = x.log\nexpect-workers = 9\nheadless = true\n"
    toml = 'users = 7\nspawn-rate = 3\nrun-time = "1m30s"\nhost = "http://a.test"\ntags = ["one"]\nstop-timeout = "4"\n'
    toml += 'page = "/p"\nfast = "true"\nloglevel = "DEBUG"\nlogfile = "x.log"\nexpect-workers = 9\nheadless = "true"\n'
    if source == "variables":
        known = {"USERS": "7", "SPAWN_RATE": "3", "RUN_TIME": "1m30s", "HOST": "http://a.test", "TAGS": "[one]"}
        known |= {"STOP_TIMEOUT": "4", "LOGLEVEL": "DEBUG", "LOGFILE": "x.log", "EXPECT_WORKERS": "9", "HEADLESS": "1"}
        for name, value in known.items():
            monkeypatch.setenv(f"LOCUST_{name}", value)
        monkeypatch.setenv("PAGE", "/p")
        return ("--fast",)
    if source == "pyproject.toml":
        (folder / "pyproject.toml").write_text(f"[tool.locust]\n{toml}")
    elif source == "~/.locust.conf":
        (folder.parent / "home" / ".locust.conf").write_text(conf)
    elif source == "locust.conf":
        (folder / "locust.conf").write_text(conf)
    else:
        (folder / "other.conf").write_text(conf)
        (folder / "other.toml").write_text(f"[tool.locust]\n{toml}")
        return ("--config", source.split()[1])
    return ()


SOURCES = ["variables", "pyproject.toml", "~/.locust.conf", "locust.conf", "--config other.conf", "--config other.toml"]


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_of_locust_counts_and_what_loadstone_controls_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
):
    line = line_of(*put(folder, source, monkeypatch))
    found = line.settings
    assert (found.users, found.spawn_rate, found.run_time, found.stop_timeout) == (7, 3.0, 90.0, 4.0)
    assert found.host == "http://a.test"
    given = " ".join([*line.scenario.arguments, *line.scenario.unlisted_arguments])
    for words in ("--tags one", "--page", "/p", "--fast", "DEBUG"):
        assert words in given
    for word in ("x.log", "9", "--headless", "a.test", "--users"):
        assert word not in given
    (note,) = line.notes
    named = (
        ("LOCUST_LOGFILE", "LOCUST_EXPECT_WORKERS") if source == "variables" else ("logfile in", "expect-workers in")
    )
    assert all(name in note for name in named)
    assert "headless" not in note.lower(), "it is what happens"


def test_loadstones_own_settings_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch):
    put(folder, "variables", monkeypatch)
    (folder / "loadstone.toml").write_text("spawn_rate = 5\n")
    monkeypatch.setenv("LOADSTONE_RUN_TIME", "10s")
    found = line_of("-u", "2", "--config", "loadstone.toml", "--fast").settings
    assert (found.users, found.spawn_rate, found.run_time, found.stop_timeout) == (2, 5.0, 10.0, 4.0)


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_the_exit_code_after_failures_is_for_the_master_whatever_gives_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
):
    if source == "variable":
        monkeypatch.setenv("LOCUST_EXIT_CODE_ON_ERROR", "0")
    elif source == "file":
        (folder / "locust.conf").write_text("exit-code-on-error = 0\n")
    line = line_of(*(["--exit-code-on-error", "0"] if source == "option" else []))
    assert " ".join(line.scenario.master_arguments).replace("=", " ") == "--exit-code-on-error 0"
    assert (line.scenario.arguments, line.scenario.unlisted_arguments, line.notes) == ((), (), ())


def test_an_empty_host_is_none_as_with_locust(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCUST_HOST", "")
    assert line_of().settings.host is None


def test_among_locusts_sources_its_own_order_holds(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder.parent / "home" / ".locust.conf").write_text("users = 1\nspawn-rate = 1\npage = /home\n")
    (folder / "locust.conf").write_text("users = 2\nspawn-rate = 2\nrun-time = 2\npage = /here\n")
    monkeypatch.setenv("LOCUST_USERS", "3")
    line = line_of("--page", "/line")
    assert (line.settings.users, line.settings.spawn_rate, line.settings.run_time) == (3, 2.0, 2.0)
    assert line.scenario.arguments == ("--page", "/line")


def test_on_the_command_line_a_spelling_that_only_locust_has_counts_before_variables(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOADSTONE_STOP_TIMEOUT", "20s")
    assert line_of("-s", "3").settings.stop_timeout == 3.0
    assert line_of("--", "-u", "4", "--headless").settings.users == 4
    with pytest.raises(UsageError, match="users is given twice: 5, and 4 with -u"):
        line_of("-u", "5", "--", "-u", "4")


def test_a_default_that_the_scenario_sets_counts(folder: Path):
    (folder / "locustfile.py").write_text(
        SCENARIO.replace('"store_true")', '"store_true")\n    parser.set_defaults(num_users=6)')
    )
    assert line_of().settings.users == 6
    assert line_of("-u", "2").settings.users == 2


def test_without_a_scenario_it_is_the_one_that_locust_would_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    line = line_of()
    assert line.scenario.files == (Path("locustfile.py"),)
    (folder / "other.py").write_text(SCENARIO.replace("Buyer", "Other"))
    monkeypatch.setenv("LOCUST_LOCUSTFILE", "other.py")
    assert line_of().scenario.user_classes == ("Other", "Seller")
    assert line_of("-f", "locustfile.py").scenario.user_classes == ("Buyer", "Seller")


def test_a_folder_is_a_scenario_as_with_locust(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "many").mkdir()
    (folder / "many" / "one.py").write_text(SCENARIO.replace("Buyer", "Other"))
    (folder / "locust.conf").write_text("locustfile = many\n")
    assert line_of().scenario.user_classes == ("Other", "Seller")


def test_with_nothing_to_run_it_is_the_sample_scenario(folder: Path):
    (folder / "locustfile.py").unlink()
    line = line_of()
    assert line.scenario.files == (default_locustfile(),)
    assert line.scenario.files[0].parts[-2:] == ("locust-worker", "locustfile.py")


def test_classes_may_be_named_in_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCUST_USER_CLASSES", "Seller")
    line = line_of("--fast")
    assert (line.scenario.user_classes, line.scenario.arguments) == (("Seller",), ("Seller", "--fast"))


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_processes_are_refused_before_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str):
    words = ("--processes", "4") if source == "option" else ()
    if source == "variable":
        monkeypatch.setenv("LOCUST_PROCESSES", "4")
    if source == "file":
        (folder / "locust.conf").write_text("processes = 4\n")
    with pytest.raises(UsageError, match=r"(?i)processes.* cannot be used with loadstone\. .*--workers N"):
        line_of(*words)


@pytest.mark.parametrize("option", ["--list", "-l", "--show-task-ratio", "--version"])
def test_what_starts_no_test_is_refused(folder: Path, option: str):
    with pytest.raises(UsageError, match=f"{option} cannot be used with loadstone. It starts no test: run `locust"):
        line_of(option)


def test_a_scenario_named_twice_is_refused(folder: Path):
    with pytest.raises(UsageError, match="the scenario is named twice"):
        line_of("-f", "locustfile.py", "--", "-f", "other.py")


def test_files_that_locust_writes_are_the_masters(folder: Path):
    line = line_of("--csv", "out", "--html", "out.html", "Seller")
    assert line.scenario.arguments == ("Seller",)
    assert line.scenario.master_arguments == ("--csv", "out", "--html", "out.html")
    assert line.notes == ()


def test_a_value_that_loadstone_cannot_use_is_refused_with_where_it_comes_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOCUST_USERS", "0")
    with pytest.raises(SettingsError, match=r"LOCUST_USERS is '0', it must be .*at least 1"):
        line_of()


def test_a_file_that_locust_cannot_read_is_refused(folder: Path):
    (folder / "locust.conf").write_text("colour = red\n")
    with pytest.raises(UsageError, match="unrecognized arguments: --colour"):
        line_of()


def test_a_worker_elsewhere_reads_the_settings_of_its_machine(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCUST_MASTER_NODE_HOST", "10.0.0.7")
    (folder / "locust.conf").write_text("users = 5\ntags = [one]\nmaster-port = 6000\ncsv = x\nprocesses = 2\n")
    words = ("--redis-url", "redis://127.0.0.1:1/0", "-f", "locustfile.py")
    line = read_line(WorkerSettings, cli.parser().parse_args(["worker"]), words, worker=True)
    assert (line.settings.master, line.settings.master_port) == ("10.0.0.7", 6000)
    assert line.scenario.unlisted_arguments == ("--tags", "one", "--processes=2")


def test_what_a_variable_holds_is_on_no_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAGE", "/secret")
    line = line_of("--fast")
    assert (line.scenario.arguments, line.scenario.unlisted_arguments) == (("--fast",), ("--page=/secret",))
