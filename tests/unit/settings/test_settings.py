"""Settings: precedence, validation of everything at once, and the values they accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadstone.compose.settings_file import problems_of_stack_file
from loadstone.errors import ExitCode, SettingsError, UsageError
from loadstone.settings import (
    FILE_RECORDS,
    CollectorSettings,
    HookOnlySettings,
    HookSettings,
    RunSettings,
    UsageSettings,
    WorkerSettings,
    as_environment,
    child_environment,
    describe,
    inherited_environment,
    load,
    parse,
    read_config_file,
    read_token,
)


def run_settings(options=None, environ=None, file=None) -> RunSettings:
    return load(RunSettings, options, environ=environ or {}, file=file)


def test_an_option_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default():
    environ, file = {"LOADSTONE_USERS": "2"}, {"users": 3}
    assert run_settings({"users": "1"}, environ, file).users == 1
    assert run_settings({}, environ, file).users == 2
    assert run_settings({}, {}, file).users == 3
    assert run_settings().users == 50


def test_a_record_knows_which_of_its_settings_were_given_even_if_their_values_are_the_defaults():
    settings = run_settings({"users": "50", "host": None}, {"LOADSTONE_SPAWN_RATE": "10"}, {"warmup": "0s"})
    assert settings.given == {"users", "spawn_rate", "warmup"}
    assert run_settings().given == frozenset()
    assert settings == run_settings(), "which is no part of what they are"
    adopted = load(RunSettings, environ={}, adopted={"users": ("50", "users in locust.conf")})
    assert adopted.given == {"users"}


def test_an_empty_environment_variable_counts_as_not_set():
    assert run_settings(environ={"LOADSTONE_USERS": ""}).users == 50


def test_every_invalid_setting_is_told_at_once_with_its_value_and_what_is_allowed():
    with pytest.raises(SettingsError) as caught:
        run_settings({"users": "0", "spawn_rate": "fast"}, {"LOADSTONE_RUN_TIME": "soon"}, {"host": "http://"})
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.problems == (
        "host in the file is 'http://', it must be http://HOST[:PORT] or https://HOST[:PORT]",
        "--users is '0', it must be a whole number of at least 1",
        "--spawn-rate is 'fast', it must be a number above 0",
        "LOADSTONE_RUN_TIME is 'soon', it must be a duration such as 90s, 1m30s, 500ms or 2h",
    )


def test_repeatable_settings_come_as_lists_from_the_command_line_and_the_file():
    assert run_settings({"objective": ["p95<1s", "failures<=1%"]}).objective == ("p95<1s", "failures<=1%")
    assert run_settings(file={"objective": ["p95<1s", "rps>1"]}).objective == ("p95<1s", "rps>1")
    assert run_settings({"tags": ["a,b", "c"]}).tags == ("a", "b", "c")
    assert run_settings().tags == ()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("1.5 min", 90)]
)
def test_durations_are_read_with_and_without_units(text, seconds):
    assert parse.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "-5", "5 parsecs", "inf", "nan", "1s2", "s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="a duration"):
        parse.duration_s(text)


@pytest.mark.parametrize("text", ["redis://host:99999/0", "http://x", "redis://", "host:6379"])
def test_what_is_no_redis_address_is_refused(text):
    with pytest.raises(ValueError, match="redis://HOST:PORT/DB"):
        parse.redis_url(text)


@pytest.mark.parametrize("text", ["redis://h:6379/0", "rediss://:secret@h/1", "unix:///run/valkey.sock"])
def test_redis_addresses_are_kept_as_they_are(text):
    assert parse.redis_url(text) == text


@pytest.mark.parametrize("text", ["ftp://x", "http://", "http://x:port", "x"])
def test_what_is_no_http_address_is_refused(text):
    with pytest.raises(ValueError, match="http://HOST"):
        parse.http_url(text)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "1.2.3.999", "ä..b"])
def test_a_host_that_no_resolver_can_take_is_refused_wherever_an_address_is_given(host):
    for record, options in (
        (RunSettings, {"host": f"http://{host}"}),
        (RunSettings, {"stack_url": f"http://{host}:1"}),
        (RunSettings, {"redis_url": f"redis://:secret@{host}:1/0"}),
        (RunSettings, {"bind": host}),
        (WorkerSettings, {"master": host}),
        (CollectorSettings, {"live_bind": host}),
    ):
        with pytest.raises(SettingsError, match="it must be"):
            load(record, options, environ={})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "my_service", "example.com.", "ä.example"])
def test_names_and_addresses_of_hosts_are_kept_as_they_are(host):
    assert run_settings({"bind": host}).bind == host
    assert run_settings({"host": f"http://[{host}]:1" if ":" in host else f"http://{host}:1"}).host


def test_a_slash_at_the_end_of_an_address_is_dropped():
    assert parse.http_url("http://x:1/base/") == "http://x:1/base"


@pytest.mark.parametrize("host", ["http://x:1/base/", "HTTPS://x", "localhost:50051", "kafka://x:9092", "server"])
def test_a_host_of_a_scenario_is_kept_as_locust_takes_it(host: str):
    assert run_settings({"host": host}).host == host


@pytest.mark.parametrize("host", ["http://", "http:x", "https://x:port", "two words", " "])
def test_a_host_that_no_client_could_take_is_refused(host: str):
    with pytest.raises(SettingsError, match="--host is"):
        run_settings({"host": host})


def test_a_config_file_that_cannot_be_read_is_wrong_use(tmp_path: Path):
    broken = tmp_path / "broken.toml"
    broken.write_text("users = ")
    for file in (broken, tmp_path / "absent.toml"):
        with pytest.raises(UsageError, match="cannot read the settings file"):
            read_config_file(file)
    assert read_config_file(None) == {}


def test_a_file_without_an_end_is_refused(tmp_path):
    endless = Path("/dev/zero")
    with pytest.raises(UsageError, match="cannot read the settings file /dev/zero: it has more than 1 MiB"):
        read_config_file(endless)
    with pytest.raises(UsageError, match="it has more than 1 MiB"):
        read_token(endless)
    with pytest.raises(UsageError, match="it has more than 1 MiB"):
        problems_of_stack_file(endless, tmp_path)


def test_settings_survive_the_way_through_a_child_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_USERS", "7")
    monkeypatch.setenv("UNRELATED", "kept")
    passed = as_environment({"redis_url": "redis://h:1/0", "objective": "p95<1s\nrps>1", "seed": 0, "run_time": None})
    environ = child_environment(passed)
    settings = load(HookSettings, environ=environ)
    assert "LOADSTONE_USERS" not in environ
    assert environ["UNRELATED"] == "kept"
    assert (settings.redis_url, settings.objective, settings.seed, settings.run_time) == (
        "redis://h:1/0",
        ("p95<1s", "rps>1"),
        0,
        None,
    )


def test_a_key_that_no_verb_knows_is_refused_with_the_nearest_one_and_all_other_problems():
    with pytest.raises(SettingsError) as caught:
        run_settings(file={"usres": 100, "run-time": "5s", "colour": "red", "spawn_rate": "fast"})
    assert caught.value.problems == (
        "usres in the file is not known, did you mean users?",
        "run-time in the file is not known, did you mean run_time?",
        "colour in the file is not known, docs/reference/settings.md lists every setting",
        "spawn_rate in the file is 'fast', it must be a number above 0",
    )


def test_a_file_may_be_shared_by_verbs():
    names = {each.name for record in FILE_RECORDS for each in describe(record)}
    shared = {"users": 5, "master": "10.0.0.1", "compose_project": "shop", "token_file": "token", "live_port": 1}
    assert set(shared) < names
    for record in FILE_RECORDS:
        load(record, environ={}, file=shared, shared=names)


def test_a_setting_that_only_a_variable_can_give_is_refused_in_a_file():
    with pytest.raises(SettingsError, match="fast_http_fix in the file is not known"):
        run_settings(file={"fast_http_fix": False})


def test_only_the_variables_of_a_record_are_inherited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_USERS", "7")
    monkeypatch.setenv("LOADSTONE_FAST_HTTP_FIX", "no")
    monkeypatch.setenv("LOADSTONE_TARGET_FILE", "/run/target.json")
    inherited = inherited_environment(HookOnlySettings)
    assert inherited == {"LOADSTONE_FAST_HTTP_FIX": "no", "LOADSTONE_TARGET_FILE": "/run/target.json"}


@pytest.mark.parametrize(
    ("options", "run_time_s", "after_ramp_s"),
    [
        ({}, 60.0, None),
        ({"run_time": "5s"}, 5.0, None),
        ({"steady_state": "9s", "warmup": "1s"}, None, 10.0),
        ({"steady_state": "9s", "run_time": "20s"}, 20.0, 9.0),
    ],
)
def test_a_run_lasts_a_minute_unless_something_else_ends_it(options, run_time_s, after_ramp_s):
    settings = run_settings(options)
    assert (settings.planned_run_time, settings.steady_after_ramp) == (run_time_s, after_ramp_s)


@pytest.mark.parametrize("record", [RunSettings, HookSettings, WorkerSettings, CollectorSettings, UsageSettings])
def test_every_default_is_valid_and_every_setting_says_what_it_is_for(record):
    load(record, environ={})
    for each in describe(record):
        assert each.help, each.name
        assert each.help[0].islower() or each.help.split()[0] in {"Redis", "CPU", "InfluxDB", "MLflow"}, each.help


def test_a_value_can_stand_in_a_file_that_a_variable_names(tmp_path: Path):
    (tmp_path / "url").write_text("redis://user:secret@redis:6379/0\n")
    named = {"LOADSTONE_REDIS_URL_FILE": str(tmp_path / "url")}
    assert load(HookSettings, environ=named).redis_url == "redis://user:secret@redis:6379/0"
    assert load(HookSettings, environ={**named, "LOADSTONE_REDIS_URL": "redis://other:1/0"}).redis_url == (
        "redis://other:1/0"
    )


def test_a_file_of_a_value_that_cannot_be_read_is_wrong_use_and_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"LOADSTONE_REDIS_URL_FILE names .*absent, which cannot be read"):
        load(HookSettings, environ={"LOADSTONE_REDIS_URL_FILE": str(tmp_path / "absent")})


def test_a_path_that_exists_is_one_path_whatever_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b.py", "two words.py", "with, comma.py", "x,y.py"):
        Path(name).touch()
    paths = {
        "two words.py": ["two words.py"],
        "with, comma.py": ["with, comma.py"],
        "a.py,with, comma.py, b.py": ["a.py", "with, comma.py", "b.py"],
        "x,y.py": ["x,y.py"],
        "a.py b.py": ["a.py", "b.py"],
        "a.py\ntwo words.py": ["a.py", "two words.py"],
        "absent, b.py": ["absent", "b.py"],
        "not there.py": ["not there.py"],
    }
    assert {text: [str(path) for path in parse.paths(text)] for text in paths} == paths
    assert parse.paths_of_locust("x,y.py,two words.py , b.py") == ["x,y.py", "two words.py", "b.py"]
