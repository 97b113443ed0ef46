"""RunSupervisor: what it does when processes crash, the user stops it, Redis is away or nothing gets archived.

Processes, Redis and the clock are doubles; LocalStack is real. Whole runs with real ones are in `tests/processes/runs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadstone.domain.event import EventKind, Exited, Restarted, TargetExited
from loadstone.domain.live import LiveSnapshot, Trouble
from loadstone.errors import ExitCode, NoRunError, PlatformError
from loadstone.launch.local import LocalStack
from loadstone.launch.scenario import Scenario
from loadstone.launch.supervisor import RunSupervisor
from loadstone.settings import RunSettings, load
from support.closed_runs import MadeRun
from support.launch_doubles import FakeChannel, FakeMachine, FakePorts, RecordingView, Script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.launch_doubles import FakeProcess

RUN = "20261126-120000-beef"
SCENARIO = Scenario(files=(), user_classes=("User",), hosts=(), shape=None, arguments=())


def snapshot(run: str = RUN, **changes: Any) -> LiveSnapshot:
    """A live snapshot one second after the start of the run."""
    figures = dict.fromkeys(("users", "target_users", "requests", "failures"), 0)
    rates = dict.fromkeys(("rps", "failure_share", "p50_ms", "p95_ms"), 0.0)
    times = {"now_ns": 2_000_000_000, "started_ns": 1_000_000_000}
    return LiveSnapshot(**{"run": run, **figures, **rates, **times, **changes})


class Bench:
    """A supervisor over a started stack of fake processes, in virtual time."""

    def __init__(self, results: Path, **options: str) -> None:
        self.machine = FakeMachine()
        self.script = Script(self.machine.clock)
        self.channel, self.view = FakeChannel(), RecordingView()
        self.stop_requests = 0
        given = {"host": "http://127.0.0.1:1", "redis_url": "redis://127.0.0.1:1/0", "results": str(results)}
        settings = load(RunSettings, {**given, "workers": "2", "run_time": "60s", **options}, environ={})
        self.stack = LocalStack(settings, SCENARIO, make_process=self.machine.make, ports=FakePorts())
        self.stack.start(lambda: False)
        clock = self.machine.clock.clock
        self.supervisor = RunSupervisor(
            *(self.stack, self.view, lambda: self.stop_requests),
            channel=self.channel,
            clock=clock,
            sleep=self.script.sleep,
        )

    def process(self, name: str) -> FakeProcess:
        return self.machine.processes[name]

    def at(self, seconds: float, action: Any) -> None:
        self.script.at(seconds, action)

    def goes(self, **changes: Any) -> None:
        """Let the run be in progress, or change what is known of it; one that is closed knows how its master ended."""
        self.channel.live = snapshot(**{"exited": changes.get("closed", False), **changes})

    def end_locust(self) -> None:
        """Let every process of Locust end in order."""
        for name in ("master", "worker-1", "worker-2"):
            self.process(name).exit(0)

    def stop_once(self) -> None:
        self.stop_requests += 1

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.channel.published]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.stack.stop()


def test_a_run_is_followed_until_it_is_archived(bench: Bench, tmp_path: Path):
    bench.at(1, bench.goes)
    bench.at(5, lambda: bench.process("master").exit(0))
    bench.at(30, lambda: bench.goes(closed=True))
    folder = bench.supervisor.conduct()
    assert folder is not None
    assert folder.path == tmp_path / RUN
    assert bench.script.passed_s == pytest.approx(30, abs=0.5)
    assert bench.view.shown[0] == pytest.approx(59)
    assert [event.payload for event in bench.channel.published] == [Exited(code=0, observed=True)]


def test_a_service_that_crashes_is_restarted_and_the_run_records_it(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("aggregator").exit(-9))
    bench.at(5, lambda: bench.process("master").exit(0))
    bench.at(6, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None
    assert bench.machine.started().count("aggregator") == 2
    assert bench.view.notes == ["aggregator crashed and was restarted"]
    event, _ = bench.channel.published
    assert (event.run, event.payload) == (RUN, Restarted(part="aggregator"))


def test_a_worker_that_was_told_to_quit_is_left_alone_and_one_that_crashes_is_restarted(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("worker-1").exit(0))
    bench.at(2, lambda: bench.process("worker-2").exit(1))
    bench.at(5, lambda: bench.process("master").exit(0))
    bench.at(6, lambda: bench.goes(closed=True))
    bench.supervisor.conduct()
    assert bench.machine.started().count("worker-1") == 1
    assert bench.machine.started().count("worker-2") == 2


def test_the_archive_is_awaited_until_it_knows_how_the_master_ended(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("master").exit(7))
    bench.at(9, lambda: bench.goes(closed=True, exited=False))
    bench.at(12, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None
    assert [event.payload for event in bench.channel.published] == [Exited(code=7, observed=True)]
    assert bench.script.passed_s == pytest.approx(12, abs=0.5)


def test_a_master_that_was_killed_has_no_exit_code(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("master").exit(-9))
    bench.at(9, lambda: bench.goes(closed=True))
    bench.supervisor.conduct()
    assert [event.payload for event in bench.channel.published] == [Exited(code=None, observed=True)]


def test_workers_of_this_machine_may_say_how_they_end_before_the_master_s_code_is_published(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("master").exit(0))
    for number in (1, 2):
        bench.process(f"worker-{number}").ignores_sigterm = True
        bench.at(4, lambda number=number: bench.process(f"worker-{number}").exit(0))
    bench.at(9, lambda: bench.goes(closed=True))
    bench.supervisor.conduct()
    (event,) = bench.channel.published
    assert event.at_ns / 1e9 == pytest.approx(4, abs=0.5)
    assert [line for line in bench.machine.record if "terminate" in line] == [
        "terminate worker-1",
        "terminate worker-2",
    ]


def test_a_worker_that_ends_with_a_code_after_the_run_is_not_restarted(bench: Bench):
    bench.goes()
    bench.at(3, lambda: bench.process("worker-1").exit(2))
    bench.at(4, lambda: bench.goes(stopping_ns=1_500_000_000))
    bench.at(9, lambda: bench.process("master").exit(0))
    bench.at(12, lambda: bench.goes(closed=True))
    bench.supervisor.conduct()
    assert bench.machine.started().count("worker-1") == 1


def test_a_worker_that_ends_with_its_master_is_not_restarted(bench: Bench):
    bench.goes()
    bench.at(2, lambda: bench.process("master").exit(0))
    bench.at(2, lambda: bench.process("worker-1").exit(1))
    bench.at(6, lambda: bench.goes(closed=True))
    bench.supervisor.conduct()
    assert bench.machine.started().count("worker-1") == 1


def test_a_service_that_keeps_crashing_ends_the_run_with_its_last_log_lines(bench: Bench):
    bench.goes()
    bench.machine.ends_at_once["aggregator"] = 3
    bench.at(1, lambda: bench.process("aggregator").exit(3))
    with pytest.raises(PlatformError, match=r"aggregator keeps crashing \(exit 3\): last line of aggregator") as raised:
        bench.supervisor.conduct()
    assert raised.value.exit_code is ExitCode.PLATFORM
    assert bench.machine.started().count("aggregator") == 1 + 5


def test_crashes_that_are_far_apart_do_not_count_together(bench: Bench):
    bench.goes()
    for number in range(8):
        bench.at(10 + 61 * number, lambda: bench.process("aggregator").exit(-9))
    bench.at(600, lambda: bench.process("master").exit(0))
    bench.at(601, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None
    assert bench.machine.started().count("aggregator") == 1 + 8


def test_a_stop_request_ends_the_run_and_its_archive_is_awaited_until_it_says_so(bench: Bench):
    bench.goes()
    bench.at(3, bench.stop_once)
    bench.at(10, lambda: bench.goes(closed=True))
    bench.at(20, lambda: bench.goes(closed=True, interrupted=True))
    assert bench.supervisor.conduct() is not None
    assert bench.kinds() == [EventKind.INTERRUPTED, EventKind.EXITED]
    assert bench.machine.record.count("terminate master") == 1
    assert bench.script.passed_s == pytest.approx(20, abs=0.5)


def test_a_second_stop_request_does_not_wait_for_requests_in_flight(bench: Bench):
    bench.goes()
    bench.process("master").ignores_sigterm = True
    bench.at(3, bench.stop_once)
    bench.at(5, bench.stop_once)
    bench.at(8, lambda: bench.goes(closed=True, interrupted=True))
    assert bench.supervisor.conduct() is not None
    assert "stop master" in bench.machine.record
    assert bench.process("master").exit_code == -9


def test_a_third_stop_request_does_not_wait_for_the_archive(bench: Bench):
    bench.goes()
    for second in (3, 5, 7):
        bench.at(second, bench.stop_once)
    with pytest.raises(PlatformError, match="the run was not archived"):
        bench.supervisor.conduct()
    assert bench.script.passed_s < 20


def test_a_run_that_is_stopped_before_it_begins_leaves_nothing(bench: Bench):
    bench.at(1, bench.stop_once)
    assert bench.supervisor.conduct() is None


def test_a_master_that_ends_without_a_run_is_reported_with_exit_code_and_log(bench: Bench):
    bench.at(1, lambda: bench.process("master").exit(1))
    with pytest.raises(PlatformError, match=r"not archived \(master: exit 1\): last line of master"):
        bench.supervisor.conduct()


def test_a_scenario_that_begins_no_run_has_nothing_to_judge(bench: Bench):
    bench.at(1, lambda: bench.process("master").exit(0))
    with pytest.raises(NoRunError, match="before any user was started") as raised:
        bench.supervisor.conduct()
    assert raised.value.exit_code is ExitCode.INCONCLUSIVE


def test_a_run_whose_start_was_refused_is_not_said_to_have_had_no_user(bench: Bench):
    bench.channel.start_is_refused = "its users are too many"
    bench.at(1, lambda: bench.process("master").exit(0))
    with pytest.raises(PlatformError, match="the event that starts it was refused: its users are too many"):
        bench.supervisor.conduct()


def test_a_run_that_nobody_closes_is_given_up_after_a_quarter_of_an_hour(bench: Bench):
    bench.goes()
    bench.at(1, bench.end_locust)
    with pytest.raises(PlatformError, match="the run was not archived"):
        bench.supervisor.conduct()
    assert bench.script.passed_s == pytest.approx(901, abs=2)


def test_a_target_that_exits_ends_the_run_with_its_exit_code(bench: Bench):
    bench.goes()
    target = bench.machine.make(name="target", argv=[], env={}, log=bench.stack.folder / "target.log")
    target.start()
    bench.stack.target = target
    bench.at(3, lambda: target.exit(137))
    bench.at(9, lambda: bench.goes(closed=True, target_exited=True))
    assert bench.supervisor.conduct() is not None
    event, _ = bench.channel.published
    assert event.payload == TargetExited(code=137)
    assert "terminate master" in bench.machine.record


def test_events_wait_for_redis_and_keep_their_order_and_time(bench: Bench):
    bench.goes()
    bench.at(2, lambda: setattr(bench.channel, "available", False))
    bench.at(3, lambda: bench.process("aggregator").exit(-9))
    bench.at(4, bench.stop_once)
    bench.at(8, lambda: setattr(bench.channel, "available", True))
    bench.at(9, lambda: bench.goes(closed=True, interrupted=True))
    assert bench.supervisor.conduct() is not None
    assert bench.kinds() == [EventKind.RESTARTED, EventKind.INTERRUPTED, EventKind.EXITED]
    assert [event.seq for event in bench.channel.published] == [0, 1, 2]
    assert len({event.source for event in bench.channel.published}) == 1
    first, second, _ = (event.at_ns / 1e9 for event in bench.channel.published)
    assert (first, second) == (pytest.approx(3, abs=0.3), pytest.approx(4, abs=0.3))


@pytest.mark.parametrize("drained", [True, False])
def test_influxdb_gets_time_and_what_it_lacks_is_said_with_the_command(tmp_path: Path, *, drained: bool):
    folder = MadeRun().close(tmp_path)
    bench = Bench(tmp_path, influx_url="http://127.0.0.1:1", influx_drain="20s")
    bench.channel.drained = False
    bench.goes(run=folder.run, closed=True)
    bench.at(1, bench.end_locust)
    if drained:
        bench.at(5, lambda: setattr(bench.channel, "drained", True))
    assert bench.supervisor.conduct() == folder
    bench.stack.stop()
    told = [note for note in bench.view.notes if f"loadstone influx backfill {folder.run}" in note]
    assert len(told) == (0 if drained else 1)
    assert bench.view.notes.count("waiting until InfluxDB has everything of this run") == 1
    assert bench.script.passed_s == pytest.approx(5 if drained else 21.5, abs=1)


@pytest.mark.parametrize("drained_s", [0, 2])
def test_nobody_is_told_to_wait_for_an_influxdb_that_soon_has_everything(tmp_path: Path, drained_s: float):
    folder = MadeRun().close(tmp_path)
    bench = Bench(tmp_path, influx_url="http://127.0.0.1:1", influx_drain="20s")
    bench.channel.drained = False
    bench.goes(run=folder.run, closed=True)
    bench.at(1, bench.end_locust)
    bench.at(drained_s, lambda: setattr(bench.channel, "drained", True))
    assert bench.supervisor.conduct() == folder
    bench.stack.stop()
    assert not [note for note in bench.view.notes if "InfluxDB" in note]


def test_up_serves_until_it_is_stopped_and_archives_the_open_run(bench: Bench):
    bench.at(50, bench.goes)
    bench.at(60, bench.stop_once)
    bench.at(70, lambda: bench.goes(closed=True))
    bench.supervisor.serve()
    assert bench.machine.record.count("terminate master") == 1
    assert bench.script.passed_s == pytest.approx(70, abs=0.5)


def test_up_waits_for_an_earlier_run_that_takes_longer_to_close_than_the_newest(bench: Bench):
    bench.channel.earlier_closed = False
    bench.goes(closed=True)
    bench.at(10, bench.stop_once)
    bench.at(90, lambda: setattr(bench.channel, "earlier_closed", True))
    bench.supervisor.serve()
    assert bench.script.passed_s == pytest.approx(90, abs=0.5)


def test_up_ends_when_its_target_exits_and_records_that(bench: Bench):
    bench.goes()
    target = bench.machine.make(name="target", argv=[], env={}, log=bench.stack.folder / "target.log")
    target.start()
    bench.stack.target = target
    bench.at(3, lambda: target.exit(1))
    bench.at(6, lambda: bench.goes(closed=True))
    bench.supervisor.serve()
    assert bench.kinds() == [EventKind.TARGET_EXITED]
    assert bench.view.notes == ["the target exited (exit 1)"]


@pytest.mark.parametrize("with_run", [True, False])
def test_up_reports_a_master_that_ended_by_itself_after_it_archived_the_open_run(bench: Bench, *, with_run: bool):
    if with_run:
        bench.goes()
        bench.at(9, lambda: bench.goes(closed=True))
    bench.at(3, lambda: bench.process("master").exit(1))
    with pytest.raises(PlatformError, match=r"master ended by itself \(exit 1\): last line of master") as raised:
        bench.supervisor.serve()
    assert raised.value.exit_code is ExitCode.PLATFORM
    assert bench.script.passed_s == pytest.approx(9 if with_run else 3, abs=0.5)


FULL = Trouble(part="archive", text="cannot write the journal: No space left on device", since_ns=7)


def test_what_is_in_trouble_is_shown_as_long_as_it_is(bench: Bench):
    bench.at(1, bench.goes)
    bench.at(3, lambda: bench.goes(troubles=(FULL,)))
    bench.at(6, bench.goes)
    bench.at(8, lambda: bench.process("master").exit(0))
    bench.at(9, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None
    assert bench.view.warned == [[FULL], []]


@pytest.mark.parametrize("interrupted", [True, False], ids=["interrupted", "ended by itself"])
def test_a_run_whose_disk_takes_nothing_ends_soon_and_says_why(bench: Bench, *, interrupted: bool):
    bench.goes(troubles=(FULL,))
    bench.channel.events_read = False
    if interrupted:
        bench.at(5, bench.stop_once)
    else:
        bench.at(5, bench.end_locust)
    with pytest.raises(PlatformError, match=f"run {RUN} is not archived: .*No space left") as error:
        bench.supervisor.conduct()
    assert error.value.exit_code == ExitCode.PLATFORM
    assert bench.script.passed_s < 25


def test_room_that_comes_within_ten_seconds_after_the_end_is_waited_for(bench: Bench):
    bench.goes(troubles=(FULL,))
    bench.at(5, bench.end_locust)
    bench.at(12, bench.goes)
    bench.at(40, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None


def test_trouble_of_another_part_does_not_keep_a_run_from_being_archived(bench: Bench):
    bench.goes(troubles=(Trouble(part="InfluxDB", text="401", since_ns=7),))
    bench.at(5, bench.end_locust)
    bench.at(60, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None


def test_a_stream_server_that_cannot_save_is_shown_at_once_and_one_that_is_away_after_a_while(bench: Bench):
    def refuse(text: str) -> None:
        bench.channel.refused = text

    def answer(*, available: bool) -> None:
        bench.channel.available = available

    bench.goes()
    bench.at(2, lambda: refuse("its disk is full"))
    bench.at(4, lambda: refuse(""))
    bench.at(6, lambda: answer(available=False))
    bench.at(9, lambda: answer(available=True))
    bench.at(20, lambda: answer(available=False))
    bench.at(30, lambda: answer(available=True))
    bench.at(31, bench.end_locust)
    bench.at(32, lambda: bench.goes(closed=True))
    assert bench.supervisor.conduct() is not None
    told = [[trouble.text[:16] for trouble in troubles] for troubles in bench.view.warned]
    assert told == [["its disk is full"], [], ["Redis does not a"], []]
