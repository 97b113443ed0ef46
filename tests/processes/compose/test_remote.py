"""StackRun: a run of a stack, started and followed over HTTP, whatever its master answers; a double stands for it.

Time is virtual.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.compose.remote import StackRun, check_fits_stack
from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.settings import RunSettings, load
from support.fake_clock import FakeClock
from support.launch_doubles import RecordingView, Script
from support.serving import serving
from support.stack_master import EARLIER, RUN, MasterDouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bench:
    """A run of the double's stack, in virtual time."""

    def __init__(self, master: MasterDouble, results: Path) -> None:
        self.master, self.results = master, results
        self.clock, self.view = FakeClock(), RecordingView()
        self.script = Script(self.clock)
        self.stop_requests = 0

    def at(self, seconds: float, action: Any) -> None:
        self.script.at(seconds, action)

    def ends(self) -> None:
        self.master.state = "stopped"

    def closes(self) -> None:
        """Let the archive appear, as the stack's Aggregator writes it."""
        folder = RunFolder(self.results / RUN).create()
        folder.run_json.write_text("{}")
        folder.report.write_text("<html>")

    def dies(self) -> None:
        """End the master: nothing listens at its address afterwards."""
        self.master.shutdown()
        self.master.server_close()

    def stop(self) -> None:
        self.stop_requests += 1

    def drive(self, known: Any = None, url: str | None = None, **options: Any) -> Any:
        return self.stack_run(known, url, **options).drive()

    def stack_run(self, known: Any = None, url: str | None = None, **options: Any) -> StackRun:
        given = {"stack": "yes", "stack_url": url or self.master.url, "results": str(self.results), **options}
        settings = load(RunSettings, given, environ={})
        return StackRun(
            *(settings, self.view, lambda: self.stop_requests),
            **{"clock": self.clock.clock, "sleep": self.script.sleep, **(known or {})},
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with serving(MasterDouble()) as server:
        yield Bench(server, tmp_path)


def test_a_run_is_started_followed_and_awaited_until_its_archive_is_there(bench: Bench, tmp_path: Path):
    bench.at(10, bench.ends)
    bench.at(15, bench.closes)
    folder = bench.drive(users="500", spawn_rate="50", objective=["p95<500ms"], steady_state="2m", seed="7")
    assert folder.path == tmp_path / RUN
    assert bench.script.passed_s == pytest.approx(15, abs=1)
    (request,) = bench.master.requests
    assert request.pop("launch")
    load_asked = {"users": 500, "spawn_rate": 50.0, "host": None, "seed": 7, "rate": [], "arrivals": "poisson"}
    window_asked = {"run_time": None, "steady_state": 120.0, "warmup": 0.0, "objective": ["p95<500ms"]}
    assert request == load_asked | window_asked | {
        "limits": None,
        "target": None,
        "exit_code_on_error": None,
        "max_users": None,
    }


@pytest.mark.parametrize(("made_at_s", "over_at_s"), [(18, 18), (None, 35)])
def test_the_report_is_awaited_too_but_not_for_long(bench: Bench, made_at_s: float | None, over_at_s: float):
    bench.at(10, bench.ends)
    bench.at(15, lambda: (bench.closes(), (bench.results / RUN / "report.html").unlink()))
    if made_at_s is not None:
        bench.at(made_at_s, bench.closes)
    assert bench.drive().path == bench.results / RUN
    assert bench.script.passed_s == pytest.approx(over_at_s, abs=1)


def test_the_end_of_a_run_that_goes_on_is_waited_for(bench: Bench):
    bench.master.state = "running"
    bench.at(30, bench.ends)
    bench.stack_run().await_idle()
    assert bench.script.passed_s == pytest.approx(30, abs=1)
    assert bench.view.notes == [f"run {EARLIER} is going on in the stack; its end is waited for"]
    bench.stack_run().await_idle()
    assert len(bench.view.notes) == 1
    assert bench.master.requests == []


def test_waiting_for_a_run_ends_when_the_user_asks_to_stop_or_the_master_is_gone(bench: Bench):
    bench.master.state = "running"
    bench.at(10, bench.stop)
    bench.stack_run().await_idle()
    assert bench.script.passed_s == pytest.approx(10, abs=1)
    bench.stop_requests = 0
    bench.at(20, bench.dies)
    with pytest.raises(PlatformError, match="stopped answering"):
        bench.stack_run().await_idle()


def test_limits_and_target_of_the_run_reach_the_master(bench: Bench):
    bench.at(1, bench.ends)
    bench.at(2, bench.closes)
    known = {"limits": {"target": {"cpu_cores": 0.5}}, "target": {"image": "sha256:ab"}}
    bench.drive(known)
    (request,) = bench.master.requests
    assert {name: request[name] for name in known} == known


def test_without_a_length_a_run_lasts_a_minute(bench: Bench):
    bench.at(1, bench.ends)
    bench.at(2, bench.closes)
    bench.drive()
    assert bench.master.requests[0]["run_time"] == 60


def test_the_live_snapshot_is_shown_as_in_a_run_on_this_machine(bench: Bench):
    figures = {"users": 5, "target_users": 5, "requests": 1200, "failures": 0, "rps": 100.0, "failure_share": 0.0}
    bench.at(2, lambda: setattr(bench.master, "figures", {**figures, "p50_ms": 8.0, "p95_ms": 16.273}))
    bench.at(11, bench.ends)
    bench.at(12, bench.closes)
    bench.drive()
    assert {(live.run, live.requests, live.p95_ms) for live in bench.view.lives} == {(RUN, 1200, 16.273)}


FIGURES = {
    **dict.fromkeys(("users", "target_users"), 5),
    **dict.fromkeys(("failures", "failure_share"), 0),
    **dict.fromkeys(("p50_ms", "p95_ms"), 8.0),
    "requests": 1200,
    "rps": 100.0,
}


def test_what_becomes_of_the_run_after_its_master_stopped_is_shown_until_the_archive_is_there(bench: Bench):
    bench.at(2, lambda: setattr(bench.master, "figures", {**FIGURES, "started_ns": 1}))
    bench.at(10, bench.ends)
    bench.at(12, lambda: setattr(bench.master, "figures", {**FIGURES, "started_ns": 1, "closing": True}))
    bench.at(20, bench.closes)
    bench.drive()
    assert bench.view.lives[-1].phase == "closing"


def test_a_run_that_follows_in_the_stack_is_not_shown_as_this_one(bench: Bench):
    bench.at(2, lambda: setattr(bench.master, "figures", FIGURES))
    bench.at(10, lambda: vars(bench.master).update(run="20261126-130000-cafe", figures={**FIGURES, "requests": 7}))
    bench.at(20, bench.closes)
    bench.drive()
    assert {live.requests for live in bench.view.lives if live.run == RUN} == {1200}
    assert {live.run for live in bench.view.lives} == {RUN}
    assert bench.view.notes[-1].startswith("2 workers"), "before there were figures"
    assert len(bench.view.notes) == 2


@pytest.mark.parametrize(("told_s", "warmup_s"), [(None, 30.0), (20.0, 20.0)])
def test_the_warm_up_is_what_was_asked_for_where_an_older_collector_does_not_tell(
    bench: Bench, told_s: float | None, warmup_s: float
):
    bench.at(2, lambda: setattr(bench.master, "figures", {**FIGURES, "warmup_s": told_s}))
    bench.at(11, bench.ends)
    bench.at(12, bench.closes)
    bench.drive(warmup="30s", steady_state="1m")
    assert {live.warmup_s for live in bench.view.lives} == {warmup_s}


def test_the_time_left_is_that_of_the_run_time_where_a_steady_state_is_given_too(bench: Bench):
    figures = {**FIGURES, "started_ns": 1_000_000_000, "ramp_done_ns": 2_000_000_000, "now_ns": 11_000_000_000}
    bench.at(2, lambda: setattr(bench.master, "figures", figures))
    bench.at(11, bench.ends)
    bench.at(12, bench.closes)
    bench.drive(run_time="30s", steady_state="1m")
    assert set(bench.view.shown) == {20.0}


def test_without_a_snapshot_progress_is_noted_every_five_seconds(bench: Bench):
    bench.at(11, bench.ends)
    bench.at(12, bench.closes)
    bench.drive()
    assert [note for note in bench.view.notes if note.startswith("2 workers")] == ["2 workers  0 users"] * 3


def test_a_stack_whose_workers_join_late_is_asked_again(bench: Bench):
    bench.master.refusal = (503, {"problems": ["no worker has joined yet"]})
    bench.at(20, lambda: setattr(bench.master, "refusal", None))
    bench.at(30, bench.ends)
    bench.at(31, bench.closes)
    assert bench.drive().run == RUN


def test_a_stack_without_workers_is_given_up_after_a_minute(bench: Bench):
    bench.master.refusal = (503, {"problems": ["no worker has joined yet"]})
    with pytest.raises(UsageError, match="the stack did not start a run: no worker has joined yet"):
        bench.drive()
    assert bench.script.passed_s == pytest.approx(60, abs=1)


def test_a_busy_stack_is_wrong_use_and_its_reason_is_passed_on(bench: Bench):
    bench.master.refusal = (409, {"problems": [f"run {EARLIER} has not ended yet"]})
    with pytest.raises(UsageError, match=f"run {EARLIER} has not ended yet") as raised:
        bench.drive()
    assert raised.value.exit_code is ExitCode.USAGE
    assert bench.script.passed_s == 0


def test_every_problem_of_a_refused_request_is_named(bench: Bench):
    bench.master.refusal = (400, {"problems": ["users is '0'", "seed is 'x'"]})
    with pytest.raises(UsageError, match="users is '0'; seed is 'x'"):
        bench.drive()


def test_a_refusal_in_another_form_is_passed_on_with_its_status(bench: Bench):
    bench.master.refusal = (502, {"message": "bad gateway"})
    with pytest.raises(UsageError, match=r"status 502: .*bad gateway"):
        bench.drive()


def test_where_nothing_listens_it_says_how_to_start_a_stack(bench: Bench):
    with pytest.raises(UsageError, match=r"no compose stack answers at http://127.0.0.1:1: .*docker compose up"):
        bench.drive(url="http://127.0.0.1:1")


def test_a_server_that_is_no_master_is_told_from_a_stack(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench.master, "status", lambda: {"hello": "world"})
    with pytest.raises(UsageError, match=r"is not the Locust master of a compose stack.*--stack-url"):
        bench.drive()


def test_a_run_that_was_accepted_but_never_starts_is_a_failure_of_the_platform(bench: Bench):
    bench.master.starts_runs = False
    with pytest.raises(PlatformError, match="accepted the run but did not start it within 30 s") as raised:
        bench.drive()
    assert raised.value.exit_code is ExitCode.PLATFORM


def test_an_interrupted_run_is_stopped_once_and_its_archive_awaited(bench: Bench):
    bench.at(3, bench.stop)
    bench.at(9, bench.closes)
    assert bench.drive().run == RUN
    assert bench.master.stops == 1
    assert "stopping: requests in flight may finish" in bench.view.notes


def test_a_master_that_dies_leaves_the_archive_to_the_collector(bench: Bench):
    bench.at(5, bench.dies)
    bench.at(45, bench.closes)
    assert bench.drive().run == RUN
    assert bench.script.passed_s == pytest.approx(45, abs=1)


def test_a_master_that_comes_back_is_followed_again(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.at(5, lambda: monkeypatch.setattr(bench.master, "status", lambda: "restarting"))
    bench.at(50, monkeypatch.undo)
    bench.at(90, bench.ends)
    bench.at(91, bench.closes)
    assert bench.drive().run == RUN
    assert bench.script.passed_s == pytest.approx(91, abs=1)


def test_a_run_that_is_never_archived_is_given_up_after_a_quarter_of_an_hour(bench: Bench):
    RunFolder(bench.results / RUN).create()
    bench.at(5, bench.ends)
    with pytest.raises(PlatformError, match=f"run {RUN} was not archived within 900 s"):
        bench.drive()


def test_results_that_are_elsewhere_are_named_with_the_option(bench: Bench):
    bench.at(5, bench.ends)
    with pytest.raises(PlatformError, match=rf"no folder of run {RUN} in .*--results"):
        bench.drive()
    assert bench.script.passed_s == pytest.approx(36, abs=2)


def test_a_run_whose_id_shows_before_its_master_spawns_is_followed_to_its_end(bench: Bench):
    bench.master.state_at_start = "stopped"
    bench.at(2, lambda: setattr(bench.master, "state", "spawning"))
    bench.at(10, bench.stop)
    bench.at(15, bench.closes)
    assert bench.drive().run == RUN
    assert bench.master.stops == 1, "it was still being followed after ten seconds"


def test_a_run_too_short_to_be_seen_is_awaited_all_the_same(bench: Bench):
    RunFolder(bench.results / RUN).create()
    bench.master.state_at_start = "ready"
    bench.at(80, bench.closes)
    assert bench.drive().run == RUN
    assert bench.script.passed_s == pytest.approx(80, abs=1)


def test_a_run_that_another_one_replaced_has_ended(bench: Bench):
    bench.at(5, lambda: setattr(bench.master, "run", "20261126-130000-cafe"))
    bench.at(8, bench.stop)
    assert bench.drive() is None
    assert bench.master.stops == 0, "that would stop the run of somebody else"


def test_while_workers_are_awaited_an_interrupt_ends_the_wait_and_nothing_was_started(bench: Bench):
    bench.master.refusal = (503, {"problems": ["no worker has joined yet"]})
    bench.at(5, bench.stop)
    assert bench.drive() is None
    assert bench.script.passed_s == pytest.approx(5, abs=1)
    assert bench.master.requests == []


def test_an_interrupt_before_the_run_has_an_id_still_stops_it(bench: Bench):
    bench.master.starts_runs = False
    bench.at(3, bench.stop)
    bench.at(4, lambda: vars(bench.master).update(run=RUN, state="spawning"))
    bench.at(9, bench.closes)
    folder = bench.drive()
    assert folder is not None
    assert folder.run == RUN
    assert bench.master.stops == 1


def test_a_second_interrupt_does_not_wait_for_requests_in_flight(bench: Bench):
    RunFolder(bench.results / RUN).create()
    bench.master.state_when_stopped = "stopping"
    bench.at(3, bench.stop)
    bench.at(8, bench.stop)
    assert bench.drive() is None
    assert bench.master.stops == 1
    assert bench.script.passed_s == pytest.approx(8, abs=1)


def test_an_interrupt_while_the_archive_is_awaited_says_where_the_run_will_be(bench: Bench):
    RunFolder(bench.results / RUN).create()
    bench.at(5, bench.ends)
    bench.at(60, bench.stop)
    assert bench.drive() is None
    assert bench.script.passed_s == pytest.approx(60, abs=1)
    assert any(f"run {RUN} is still being archived" in note for note in bench.view.notes)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"locustfile": "a.py"}, "--locustfile"),
        ({"tags": "x"}, "--tags"),
        ({"target_pid": "1"}, "--target-pid"),
        ({"redis_url": "redis://h:1/0"}, "--redis-url"),
        ({"influx_url": "http://h:1"}, "--influx-url"),
        ({"workers": "77"}, "--workers"),
        ({"stop_timeout": "60"}, "--stop-timeout"),
        ({"live_port": "1234"}, "--live-port"),
        ({"demo_model": "models:/a/1"}, "--demo-model"),
    ],
)
def test_options_of_a_local_run_are_refused(options: dict[str, str], named: str):
    with pytest.raises(UsageError, match=f"{named} cannot be used with --stack"):
        check_fits_stack(load(RunSettings, options, environ={}), ())


def test_arguments_of_a_scenario_and_wrong_objectives_are_refused():
    with pytest.raises(UsageError, match="--page /x cannot be used with --stack"):
        check_fits_stack(load(RunSettings, environ={}), ("--page", "/x"))
    with pytest.raises(UsageError, match="p95<500"):
        check_fits_stack(load(RunSettings, {"objective": "p95<500"}, environ={}), ())


def test_a_stack_whose_disk_takes_nothing_is_not_waited_for_and_keeps_the_run(bench: Bench):
    full = {"part": "archive", "text": "cannot write the journal: No space left on device", "since_ns": 1}
    figures = {"users": 5, "target_users": 5, "requests": 1200, "failures": 0, "rps": 100.0, "failure_share": 0.0}
    in_trouble = {**figures, "p50_ms": 8.0, "p95_ms": 16.273, "troubles": [full]}
    RunFolder(bench.results / RUN).create()
    bench.at(2, lambda: setattr(bench.master, "figures", in_trouble))
    bench.at(11, bench.ends)
    with pytest.raises(PlatformError, match=rf"run {RUN} is not archived: .*No space left.*by itself once") as raised:
        bench.drive()
    assert raised.value.exit_code is ExitCode.PLATFORM
    assert bench.script.passed_s == pytest.approx(22, abs=2)
    assert [[each.text for each in troubles] for troubles in bench.view.warned] == [[full["text"]]]


def test_the_master_is_told_that_its_own_page_could_ask_and_gets_the_token_where_there_is_one(
    bench: Bench, tmp_path: Path
):
    (tmp_path / "token").write_text("right-token\n")
    with_login = bench.master.url.replace("//", "//bob:hunter2@")
    for options in ({}, {"stack_token_file": str(tmp_path / "token")}, {"stack_url": with_login}):
        bench.at(1, bench.ends)
        bench.at(2, bench.closes)
        bench.drive(**options)
        bench.master.run, bench.master.state = EARLIER, "stopped"
        shutil.rmtree(tmp_path / RUN)
    login = "Basic Ym9iOmh1bnRlcjI="
    assert bench.master.headers == [(bench.master.url, each) for each in (None, "Bearer right-token", login)]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ((403, "This server does not answer to the name load.lan", {}), "does not answer to the name load.lan"),
        ((302, "", {"Location": "/login?next=%2F"}), "it asks for a login (/login?next=%2F)"),
    ],
    ids=["unknown name", "login"],
)
def test_a_master_that_lets_nobody_in_is_told_apart_from_another_server(bench: Bench, page: Any, said: str):
    bench.master.page = page
    with pytest.raises(UsageError, match="does not answer: ") as raised:
        bench.drive()
    assert said in str(raised.value)
    assert "--stack-token-file" in (raised.value.hint or "")


def test_a_token_file_that_is_not_there_is_named(bench: Bench, tmp_path: Path):
    with pytest.raises(UsageError, match="control token file"):
        bench.drive(stack_token_file=str(tmp_path / "missing"))
