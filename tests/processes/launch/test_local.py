"""LocalStack: the order in which processes start and stop, what each is given, and what a failure leaves behind.

Processes are doubles, and so is the demo target's HTTP server; whole runs with real ones are in `tests/processes/runs`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from loadstone.errors import PlatformError, SettingsError, UsageError
from loadstone.launch.demo import DemoTarget
from loadstone.launch.local import LocalStack
from loadstone.launch.preflight import preflight
from loadstone.launch.scenario import Scenario, worker_command
from loadstone.launch.stream_store import StreamFolder
from loadstone.launch.valkey import PrivateValkey
from loadstone.launch.watched import WatchedProject
from loadstone.settings import HookSettings, RunSettings, UsageSettings, WorkerSettings, load
from support.launch_doubles import FakeMachine, FakePorts, FakeProcess
from support.loadstone_run import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.target_double import TargetDouble

DEMO = REPOSITORY / "locust-worker" / "locustfile.py"
REMOTE = {"host": "http://127.0.0.1:1", "redis_url": "redis://127.0.0.1:1/0"}


def scenario(**changes) -> Scenario:
    found = {"files": (Path("scenario.py"),), "user_classes": ("User",), "hosts": (), "shape": None, "arguments": ()}
    return Scenario(**{**found, **changes})


@contextmanager
def stack_of(
    machine: FakeMachine, options: dict[str, str], found: Scenario | None = None, **how: Any
) -> Iterator[LocalStack]:
    settings = load(RunSettings, {"workers": "2", **options}, environ={})
    with LocalStack(settings, found or scenario(), make_process=machine.make, **how) as stack:
        yield stack


def test_services_start_before_the_master_and_it_before_its_workers(machine: FakeMachine):
    options = {**REMOTE, "influx_url": "http://127.0.0.1:1", "target_pid": "1"}
    with stack_of(machine, options) as stack:
        stack.start(lambda: False)
        assert machine.started() == ["aggregator", "writer", "usage", "master", "worker-1", "worker-2"]


def test_with_nothing_given_there_are_a_valkey_first_and_a_demo_target_for_which_locust_waits(
    machine: FakeMachine, target: TargetDouble, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(PrivateValkey, "wait_until_ready", lambda _: None)
    machine.ends_at_once["train"] = 0
    with stack_of(machine, {"demo_port": str(target.server_address[1])}, scenario(files=(DEMO,))) as stack:
        monkeypatch.setattr("loadstone.launch.local.LocalStack._start_usage", lambda _: None)  # it needs a real pid
        trained = DemoTarget.start
        held = []
        monkeypatch.setattr(
            DemoTarget, "start", lambda *given: (trained(*given), held.append(machine.processes["master"].is_held))
        )
        stack.start(lambda: False)
        assert machine.started() == ["valkey", "aggregator", "master", "worker-1", "worker-2", "train", "target"]
        assert held == [True]
        assert machine.processes["master"].hook_settings.target["model"] == "diabetes"
    stopped = [line.removeprefix("stop ") for line in machine.record if line.startswith("stop ")]
    assert stopped == ["train", "worker-1", "worker-2", "master", "target", "aggregator", "valkey"]
    assert "terminate valkey" not in machine.record, "the others still have something to write"


def test_the_web_ui_is_guarded_whole_unless_the_user_says_otherwise(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
):
    guards = []
    for given in ("", "own"):
        monkeypatch.setenv("LOADSTONE_WEB_GUARD", given)
        with stack_of(machine, REMOTE, interactive=True) as stack:
            stack.start(lambda: False)
        guards.append(machine.processes["master"].env["LOADSTONE_WEB_GUARD"])
    assert guards == ["all", "own"]


def test_allowed_names_reach_the_web_ui_and_the_live_page(machine: FakeMachine):
    with stack_of(machine, {**REMOTE, "allowed_hosts": "load.lan, *.example.com"}) as stack:
        stack.start(lambda: False)
        found = [machine.processes[name].env["LOADSTONE_ALLOWED_HOSTS"] for name in ("master", "aggregator")]
        assert found == ["load.lan *.example.com"] * 2


def test_leaving_the_context_removes_the_temporary_folder(machine: FakeMachine):
    with stack_of(machine, REMOTE) as stack:
        stack.start(lambda: False)
        assert stack.folder.is_dir()
    assert not stack.folder.exists()


def test_a_process_that_cannot_start_stops_those_before_it(machine: FakeMachine):
    machine.cannot_start.add("master")
    with pytest.raises(PlatformError, match="master could not be started"), stack_of(machine, REMOTE) as stack:
        stack.start(lambda: False)
    assert machine.started() == ["aggregator", "master"]
    assert not machine.processes["aggregator"].alive
    assert not stack.folder.exists()


def kept_logs(results: Path) -> list[str]:
    return sorted(str(path.relative_to(results)) for path in results.rglob("*.log"))


@pytest.mark.parametrize(
    ("ends_with", "kept"),
    [(None, 1), (PlatformError("no"), 1), (KeyboardInterrupt(), 1), (UsageError("no"), 0)],
    ids=["an interrupt before the run", "a part that fails", "Ctrl-C", "wrong use"],
)
def test_logs_are_kept_where_no_run_began_unless_nothing_was_to_be_written(
    machine: FakeMachine, tmp_path: Path, ends_with: BaseException | None, kept: int, capsys
):
    with contextlib.suppress(PlatformError, KeyboardInterrupt, UsageError):  # noqa: SIM117
        with stack_of(machine, {**REMOTE, "results": str(tmp_path)}) as stack:
            (stack.folder / "master.log").write_text("boom")
            if ends_with is not None:
                raise ends_with
    assert len(kept_logs(tmp_path)) == kept
    assert ("the logs of all processes are in" in capsys.readouterr().err) == bool(kept)


def test_logs_of_a_run_are_in_its_folder_also_where_it_ends_in_an_error(machine: FakeMachine, tmp_path: Path):
    (tmp_path / "run-1").mkdir()
    with contextlib.suppress(PlatformError), stack_of(machine, {**REMOTE, "results": str(tmp_path)}) as stack:
        (stack.folder / "master.log").write_text("boom")
        stack.logs.note_run("run-1")
        raise PlatformError("not archived")
    assert kept_logs(tmp_path) == ["run-1/logs/master.log"]


def test_a_platform_that_served_no_run_leaves_no_logs(machine: FakeMachine, tmp_path: Path):
    with stack_of(machine, {**REMOTE, "results": str(tmp_path)}, interactive=True) as stack:
        (stack.folder / "master.log").write_text("fine")
    assert kept_logs(tmp_path) == []


def test_a_stop_request_during_the_start_keeps_locust_from_starting(machine: FakeMachine):
    with stack_of(machine, REMOTE) as stack:
        stack.start(lambda: True)
        assert all(machine.processes[name].is_held for name in ("master", "worker-1", "worker-2"))


def test_what_samples_usage_does_so_before_locust_may_begin(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch):
    waited = []

    def sleep(_: float) -> None:
        waited.append(machine.processes["master"].is_held)
        if len(waited) == 3:
            beat.touch()

    with stack_of(machine, {**REMOTE, "target_pid": "1"}) as stack:
        beat = stack._beat
        monkeypatch.setattr("time.sleep", sleep)
        monkeypatch.setattr(FakeProcess, "start", lambda process: setattr(process, "running", True))
        stack.start(lambda: False)
        assert waited == [True] * 3
        assert not machine.processes["master"].is_held


def test_a_run_begins_without_usage_where_that_is_not_to_be_had(machine: FakeMachine):
    machine.ends_at_once["usage"] = 1
    with stack_of(machine, {**REMOTE, "target_pid": "1"}) as stack:
        stack.start(lambda: False)
        assert not machine.processes["master"].is_held


def test_only_services_are_restarted_when_workers_are_left_out(machine: FakeMachine):
    with stack_of(machine, REMOTE) as stack:
        stack.start(lambda: False)
        machine.processes["aggregator"].exit(1)
        machine.processes["worker-1"].exit(1)
        assert [process.name for process in stack.restart_crashed(workers=False)] == ["aggregator"]
        assert [process.name for process in stack.restart_crashed(workers=True)] == ["worker-1"]


def test_a_worker_may_crash_three_times_a_minute(machine: FakeMachine):
    with stack_of(machine, REMOTE) as stack:
        stack.start(lambda: False)
        for _ in range(3):
            machine.processes["worker-1"].exit(1)
            stack.restart_crashed(workers=True)
        machine.processes["worker-1"].exit(1)
        with pytest.raises(PlatformError, match=r"worker-1 keeps crashing \(exit 1\)"):
            stack.restart_crashed(workers=True)


def test_master_and_workers_meet_on_a_port_that_stays_reserved(machine: FakeMachine):
    with stack_of(machine, REMOTE) as stack:
        stack.start(lambda: False)
        master, worker = machine.processes["master"].argv, machine.processes["worker-1"].argv
        port = master[master.index("--master-bind-port") + 1]
        assert worker[worker.index("--master-port") + 1] == port == str(stack.master_port)
        assert machine.processes["aggregator"].env["LOADSTONE_LIVE_PORT"] == str(stack.live_port) != port


@pytest.mark.attack("a secret on the command line", "in no command line of a child process")
def test_what_the_user_gave_stands_on_no_command_line_of_a_child(machine: FakeMachine):
    given = scenario(arguments=("Buyer", "--api-key", "hunter2"), master_arguments=("--web-login",))
    with stack_of(machine, {**REMOTE, "host": "http://bob:hunter2@127.0.0.1:9"}, given) as stack:
        stack.start(lambda: False)
        assert stack.targets == "http://***@127.0.0.1:9"
    words = [word for process in machine.processes.values() for word in process.argv]
    assert not any("hunter2" in word for word in words)
    assert machine.processes["worker-1"].hidden_arguments == ("Buyer", "--api-key", "hunter2")
    assert machine.processes["master"].hidden_arguments == (
        *("Buyer", "--api-key", "hunter2", "--web-login"), *("--host", "http://bob:hunter2@127.0.0.1:9"),
    )  # fmt: skip


def test_locust_gets_a_host_only_from_the_user(machine: FakeMachine):
    options = {"redis_url": REMOTE["redis_url"]}
    with stack_of(machine, options, scenario(hosts=("http://127.0.0.1:7", "http://127.0.0.1:8"))) as stack:
        stack.start(lambda: False)
        assert stack.targets == "http://127.0.0.1:7, http://127.0.0.1:8"
    assert not any("--host" in machine.processes[name].hidden_arguments for name in ("master", "worker-1"))
    with stack_of(machine, {**options, "host": "http://127.0.0.1:9/"}, scenario(hosts=("http://x",))) as stack:
        stack.start(lambda: False)
        assert stack.targets == "http://127.0.0.1:9/"
        assert machine.processes["master"].hook_settings.target is None, "a foreign target is not asked"
    assert machine.processes["master"].hidden_arguments == ("--host", "http://127.0.0.1:9/"), (
        "with its slash: Locust puts paths behind it"
    )


@pytest.mark.parametrize("option", [{"tag_model": "yes"}, {"tagged_model": "models:/diabetes/3"}])
@pytest.mark.parametrize("names_host", [True, False], ids=["with --host", "of the scenario"])
def test_a_target_is_asked_which_model_version_it_serves_where_that_is_to_be_tagged(
    machine: FakeMachine, target: TargetDouble, option: dict[str, str], names_host: bool
):
    url = f"http://127.0.0.1:{target.server_address[1]}"
    options = {"redis_url": REMOTE["redis_url"], **option, **({"host": url} if names_host else {})}
    with stack_of(machine, options, scenario(hosts=() if names_host else (url,))) as stack:
        stack.start(lambda: False)
        told = machine.processes["master"].hook_settings.target
    assert (told["model"], told["version"]) == ("diabetes", "3")


def test_of_several_targets_none_is_asked_for_its_model(machine: FakeMachine, target: TargetDouble):
    url = f"http://127.0.0.1:{target.server_address[1]}"
    options = {"redis_url": REMOTE["redis_url"], "tag_model": "yes"}
    with stack_of(machine, options, scenario(hosts=(url, "http://127.0.0.1:8"))) as stack:
        stack.start(lambda: False)
        assert machine.processes["master"].hook_settings.target is None


@pytest.mark.parametrize(
    ("options", "shape", "interactive", "run_time_s"),
    [
        ({}, None, False, 60.0),
        ({"run_time": "5s"}, None, False, 5.0),
        ({}, "Stages", False, None),
        ({"run_time": "5s"}, "Stages", False, None),
        ({"steady_state": "9s"}, None, False, None),
        ({"steady_state": "9s", "run_time": "20s"}, None, False, 20.0),
        ({"run_time": "5s"}, None, True, None),
    ],
)
def test_the_master_limits_the_run_time_only_where_nothing_else_ends_the_run(
    machine: FakeMachine, options: dict[str, str], shape: str | None, run_time_s: float | None, *, interactive: bool
):
    with stack_of(machine, {**REMOTE, **options}, scenario(shape=shape), interactive=interactive) as stack:
        assert stack.run_time() == run_time_s


def test_a_load_shape_decides_about_users_itself(machine: FakeMachine):
    with stack_of(machine, REMOTE, scenario(shape="Stages")) as stack:
        stack.start(lambda: False)
        assert "--users" not in machine.processes["master"].argv
        assert "--headless" in machine.processes["master"].argv


def test_a_load_shape_that_reads_common_options_gets_them(machine: FakeMachine):
    given = {**REMOTE, "users": "7", "spawn_rate": "2.5", "run_time": "90.5s"}
    with stack_of(machine, given, scenario(shape="Stages", shape_takes_options=True)) as stack:
        stack.start(lambda: False)
        argv = machine.processes["master"].argv
        assert stack.run_time() is None
    options = {name: argv[argv.index(name) + 1] for name in ("--users", "--spawn-rate", "--run-time")}
    assert options == {"--users": "7", "--spawn-rate": "2.5", "--run-time": "91"}


def test_the_command_for_more_workers_names_master_redis_and_scenario(machine: FakeMachine):
    with stack_of(machine, {**REMOTE, "bind": "127.0.0.1", "master_port": "5557"}) as stack:
        assert stack.join_command() == (
            "more workers: loadstone worker --master 127.0.0.1 --master-port 5557"
            " --loadstone-redis-url redis://127.0.0.1:1/0 -f scenario.py"
        )


def test_the_command_for_more_workers_is_one_for_a_shell_and_holds_no_option_of_the_scenario(machine: FakeMachine):
    arguments = ("Buyer", "--password", "hunter2", "--tags", "slow", "--token=abc")
    files = (Path("one.py"), Path("my tests/two.py"))
    given = {**REMOTE, "redis_url": "redis://:p&w@127.0.0.1:1/0"}
    with stack_of(machine, given, replace(scenario(), files=files, arguments=arguments)) as stack:
        words = shlex.split(stack.join_command().removeprefix("more workers: "))
    assert words[words.index("-f") :] == ["-f", "one.py,my tests/two.py", "--", "Buyer", "--tags", "slow"]
    assert words[words.index("--loadstone-redis-url") + 1] == "redis://:p&w@127.0.0.1:1/0"


@pytest.mark.parametrize(("bind", "host"), [("::1", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1")])
def test_the_address_of_the_live_page_is_one_that_the_hook_accepts(machine: FakeMachine, bind: str, host: str):
    settings = load(RunSettings, {**REMOTE, "bind": bind}, environ={})
    with LocalStack(settings, scenario(), make_process=machine.make, ports=FakePorts()) as stack:
        stack.start(lambda: False)
        environ = machine.processes["master"].env
        assert load(HookSettings, environ=environ).live_url == f"http://{host}:{stack.live_port}"


def test_workers_elsewhere_reach_a_private_valkey_by_an_ipv6_address_too(machine: FakeMachine, tmp_path: Path):
    data = StreamFolder.create(tmp_path)
    valkey = PrivateValkey.prepare(data, tmp_path / "log", "2001:db8::7", FakePorts(), machine.make)
    valkey.remove_socket()
    data.remove()
    parts = urlsplit(valkey.remote_url or "")
    assert (parts.hostname, parts.port) == ("2001:db8::7", 20_001)


def test_settings_of_the_hook_that_no_option_gives_reach_locust_and_no_service(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
):
    given = {"LOADSTONE_FAST_HTTP_FIX": "no", "LOADSTONE_HEARTBEAT_FILE": "/tmp/beat", "LOADSTONE_LIMITS": '{"a": 1}'}
    for name, value in {**given, "LOADSTONE_LAUNCH": "of another command"}.items():
        monkeypatch.setenv(name, value)
    with stack_of(machine, {**REMOTE, "target_pid": "1"}) as stack:
        stack.start(lambda: False)
        for name in ("master", "worker-1"):
            settings = load(HookSettings, environ=machine.processes[name].env)
            assert not settings.fast_http_fix
            assert settings.heartbeat_file == Path("/tmp/beat")
            assert settings.launch == stack.launch
            assert settings.limits != {"a": 1}, "what is measured here counts more"
        assert machine.processes["usage"].env["LOADSTONE_HEARTBEAT_FILE"] != "/tmp/beat"


def test_a_watched_compose_project_is_sampled_and_the_run_says_its_limits(machine: FakeMachine):
    watched = WatchedProject(project="shop", socket=Path("/run/engine.sock"))
    known = {"limits": {"api": {"cpu_cores": 0.5}}, "identity": {"image": "a"}}
    with stack_of(machine, REMOTE, watched=watched, **known) as stack:
        stack.start(lambda: False)
        usage = load(UsageSettings, environ=machine.processes["usage"].env)
        assert (usage.compose_project, usage.docker_socket, usage.pid) == ("shop", Path("/run/engine.sock"), ())
        settings = load(HookSettings, environ=machine.processes["master"].env)
        assert settings.limits == {"host_cores": os.cpu_count(), "api": {"cpu_cores": 0.5}}
        assert machine.processes["master"].hook_settings.target == {"image": "a"}


FROM_MASTER = Scenario(files=(), user_classes=(), hosts=(), shape=None, arguments=())


def test_a_worker_that_joins_elsewhere_keeps_the_settings_of_its_hook(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_FAST_HTTP_FIX", "no")
    monkeypatch.setenv("LOADSTONE_HEARTBEAT_FILE", "/tmp/beat")
    _, environ = worker_command(load(WorkerSettings, {"redis_url": REMOTE["redis_url"]}, environ={}), FROM_MASTER)
    settings = load(HookSettings, environ=environ)
    assert (settings.fast_http_fix, settings.heartbeat_file) == (False, Path("/tmp/beat"))


def test_a_wrong_setting_of_the_hook_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_FAST_HTTP_FIX", "maybe")
    with pytest.raises(SettingsError, match="LOADSTONE_FAST_HTTP_FIX is 'maybe', it must be yes or no"):
        preflight(load(RunSettings, {"results": str(tmp_path)}, environ={}), FROM_MASTER)
    with pytest.raises(SettingsError, match="LOADSTONE_FAST_HTTP_FIX"):
        worker_command(load(WorkerSettings, environ={}), FROM_MASTER)


def test_limits_that_another_program_set_are_recorded_too(machine: FakeMachine):
    settings = load(RunSettings, {**REMOTE, "workers": "1"}, environ={})
    how = {"limits": {"cpu_cores": 2.0}, "identity": {"image": "sha256:1"}}
    with LocalStack(settings, scenario(), make_process=machine.make, **how) as stack:
        stack.start(lambda: False)
        settings = machine.processes["master"].hook_settings
        assert settings.limits == {"cpu_cores": 2.0}
        assert settings.target == {"image": "sha256:1"}
