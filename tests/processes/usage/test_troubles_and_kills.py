"""What the UsageSampler counts and says when containers are killed, and when their figures are missing or late."""

from __future__ import annotations

import functools
import logging
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from loadstone.settings import UsageSettings, load
from loadstone.usage import oom_kills
from loadstone.usage.sampler import Containers, containers_of
from loadstone.usage.unreported_kills import UnreportedKills
from support.container_doubles import PROJECT, CadvisorDouble, Container, EngineDouble
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loadstone.domain.usage_tick import Usage

SECOND = 1_000_000_000


class Sampled:
    """The containers that the sampler reads, a tick after the other without waiting for the seconds to pass."""

    def __init__(self, cadvisor: CadvisorDouble, engine: EngineDouble | None) -> None:
        environ = {"LOADSTONE_CADVISOR_URL": cadvisor.url, "LOADSTONE_COMPOSE_PROJECT": PROJECT}
        if engine:
            environ["LOADSTONE_DOCKER_SOCKET"] = str(engine.socket)
        found = containers_of(load(UsageSettings, environ=environ))
        assert found is not None
        self.containers: Containers = found
        self.cadvisor = cadvisor
        self.engine = engine
        self.ticked_ns = time.time_ns()
        if engine:
            wait_until(lambda: engine.listeners == 1, "the sampler listens")

    def tick(self) -> tuple[tuple[Usage, ...], str]:
        """What is recorded in the next second; cAdvisor's figures are of that second."""
        self.ticked_ns += SECOND
        self.cadvisor.stands_still_ns = self.cadvisor.stands_still_ns and self.ticked_ns
        return self.containers.take(self.ticked_ns)

    def ticks(self, count: int) -> list[tuple[tuple[Usage, ...], str]]:
        return [self.tick() for _ in range(count)]


@pytest.fixture
def target() -> Container:
    return Container()


@pytest.fixture
def engine(tmp_path: Path, target: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineDouble]:
    monkeypatch.chdir(tmp_path)
    with EngineDouble(tmp_path / "s", [target]).running() as double:
        yield double


@pytest.fixture
def sampled(target: Container) -> Iterator[Callable[..., Sampled]]:
    """Start cAdvisor's double, and sampling."""
    with ExitStack() as stack:

        def start(engine: EngineDouble | None = None, *, cadvisor: bool = True) -> Sampled:
            double = CadvisorDouble(target)
            double.stands_still_ns = time.time_ns()
            if cadvisor:
                stack.enter_context(double.running())
            made = Sampled(double, engine)
            stack.callback(made.containers.close)
            return made

        yield start


def kills(ticks: list[tuple[tuple[Usage, ...], str]], container: str = "target-1") -> int:
    return sum(row.oom for rows, _ in ticks for row in rows if row.container == container)


@pytest.mark.attack("a container is killed ten times for lack of memory, and restarted each time", "ten kills")
def test_ten_kills_of_a_container_that_is_restarted_each_time_are_ten(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container
):
    of = sampled(engine)
    ticks = of.ticks(2)
    for _ in range(10):
        engine.kill(target)
        target.is_up = False
        ticks += of.ticks(1)
        target.restart()
        ticks += of.ticks(1)
    wait_until(lambda: bool(ticks.extend(of.ticks(1))) or kills(ticks) == 10, "all kills are recorded", timeout_s=10)
    assert all(row.mem_limit == 4000 for rows, _ in ticks for row in rows)


@pytest.mark.attack("processes of a container that lives on are killed for lack of memory", "each kill is counted")
def test_several_kills_in_one_second_are_counted_each(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container
):
    of = sampled(engine)
    of.ticks(2)
    for _ in range(7):
        engine.kill(target)
    wait_until(lambda: sum(of.containers._kills._kills.values()) == 7, "the kills are told")  # type: ignore[union-attr]
    rows, _ = of.tick()
    assert [row.oom for row in rows] == [7]
    assert kills(of.ticks(3)) == 0


@pytest.mark.attack("the connection that tells kills is cut while containers are killed", "none is lost or doubled")
def test_a_connection_that_is_cut_loses_and_doubles_no_kill(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container
):
    of = sampled(engine)
    ticks = of.ticks(2)
    engine.kill(target)
    wait_until(lambda: bool(ticks.extend(of.ticks(1))) or kills(ticks) == 1, "the first kill is recorded")
    engine.cut_listeners()
    wait_until(lambda: engine.listeners == 0, "the connection is gone")
    engine.kill(target)
    wait_until(lambda: bool(ticks.extend(of.ticks(1))) or kills(ticks) == 2, "the second kill is recorded")
    wait_until(lambda: engine.listeners == 1, "the sampler listens again")
    assert kills([*ticks, *of.ticks(4)]) == 2


def test_connections_that_end_before_anything_is_told_lose_no_kill(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container
):
    of = sampled(engine)
    ticks = of.ticks(2)
    engine.silent = 4
    engine.cut_listeners()
    wait_until(lambda: engine.listeners == 0, "the connection is gone")
    engine.kill(target)
    wait_until(lambda: engine.listeners == 1, "the sampler listens again")
    wait_until(lambda: bool(ticks.extend(of.ticks(1))) or kills(ticks) == 1, "the kill is recorded")


def test_a_container_that_does_not_come_back_gets_a_row_for_its_kill(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container
):
    other = Container(service="redis", id="b2" * 32)
    engine.containers.append(other)
    of = sampled(engine)
    of.cadvisor.containers.append(other)
    of.ticks(2)
    engine.kill(target)
    target.is_up = False
    wait_until(lambda: bool(of.containers._kills._kills), "the kill is told")  # type: ignore[union-attr]
    ticks = of.ticks(4)
    assert kills(ticks) == 1
    (gone,) = [row for rows, _ in ticks for row in rows if row.container == "target-1"]
    assert (gone.cpu_cores, gone.mem_bytes, gone.mem_limit) == (0, 0, 4000)


@pytest.mark.attack("a container is killed for lack of memory and the engine does not report it", "the kill is counted")
def test_a_kill_that_the_engine_does_not_report_is_counted_by_the_kernels_count(
    sampled: Callable[..., Sampled], engine: EngineDouble, target: Container, monkeypatch: pytest.MonkeyPatch
):
    kernel = [40]
    monkeypatch.setattr(oom_kills, "UnreportedKills", functools.partial(UnreportedKills, lambda: kernel[0]))
    of = sampled(engine)
    ticks = of.ticks(2)
    engine.tell(target, "kill", signal="9")
    engine.tell(target, "die", exitCode="137")  # somebody's wish
    engine.tell(target, "die", exitCode="1")
    kernel[0] += 1
    engine.tell(target, "die", exitCode="137")
    wait_until(lambda: bool(ticks.extend(of.ticks(1))) or kills(ticks) == 1, "the kill is recorded")
    assert kills([*ticks, *of.ticks(4)]) == 1


def test_without_an_engine_the_counters_of_cadvisor_count(sampled: Callable[..., Sampled], target: Container):
    of = sampled()
    of.ticks(2)
    target.oom = 3
    ticks = of.ticks(1)
    target.is_up = False
    ticks += of.ticks(2)
    target.restart()
    target.oom = 3
    ticks += of.ticks(2)
    assert kills(ticks) == 6


HIDDEN = (
    "CPU and memory of containers are not recorded: cAdvisor knows no container of the project 'loadstone': it cannot"
)


@pytest.mark.attack("cAdvisor cannot learn names, so that it hides every container", "said after a few seconds")
def test_a_cadvisor_that_hides_all_containers_is_said_after_a_few_seconds_and_once_a_minute(
    sampled: Callable[..., Sampled], caplog: pytest.LogCaptureFixture
):
    of = sampled()
    of.cadvisor.knows_names = False
    with caplog.at_level(logging.ERROR):
        ticks = of.ticks(50)
    assert [bool(problem) for _, problem in ticks[:7]] == [False] * 4 + [True] * 3
    assert ticks[-1] == ((), ticks[5][1])
    assert ticks[-1][1].startswith(HIDDEN)
    assert ticks[-1][1].endswith("see docs/how-to/usage-of-containers.md")
    assert len(caplog.records) == 1
    assert "usage=trouble" in caplog.text
    of.cadvisor.knows_names = True
    assert [problem for _, problem in of.ticks(3)][1:] == ["", ""]


def test_the_engine_gives_what_cadvisor_hides(sampled: Callable[..., Sampled], engine: EngineDouble):
    of = sampled(engine)
    of.cadvisor.knows_names = False
    of.containers.take(time.time_ns())
    rows, problem = of.containers.take(time.time_ns())
    assert [row.container for row in rows] == ["target-1"]
    assert problem == ""


def test_sources_that_do_not_answer_are_said_with_every_cause(sampled: Callable[..., Sampled], engine: EngineDouble):
    engine.containers.clear()
    of = sampled(engine, cadvisor=False)
    (_, problem) = of.ticks(6)[-1]
    assert f"{of.cadvisor.url}/metrics does not answer" in problem
    assert "the Docker Engine runs no container of the project 'loadstone'" in problem


def test_figures_that_stand_still_are_said(sampled: Callable[..., Sampled]):
    of = sampled()
    of.ticks(2)
    frozen = of.cadvisor.text()
    of.cadvisor.text = lambda: frozen  # type: ignore[method-assign]
    ticks = of.ticks(7)
    assert ticks[-1] == ((), "CPU and memory of containers are not recorded: the figures of cAdvisor stand still")


@pytest.mark.attack("the Docker Engine answers slowly under load", "figures more than a second off their time are said")
def test_readings_of_a_slow_engine_are_within_a_second_of_their_time_or_it_is_said(
    sampled: Callable[..., Sampled], engine: EngineDouble
):
    of = sampled(engine, cadvisor=False)
    answered = []
    for delay_s in (0.0, 0.0, 1.2):
        engine.delay_s = delay_s
        answered.append(of.containers.take(time.time_ns()))
    (_, none), (_, quick), (rows, slow) = answered
    assert (none, quick) == ("", "")
    assert len(rows) == 1
    assert slow.startswith("CPU and memory of containers were measured more than 1 s off the time under which they")
    assert "the Docker Engine answers slowly" in slow


def test_an_engine_that_does_not_tell_kills_is_said(sampled: Callable[..., Sampled], tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        environ = {"LOADSTONE_DOCKER_SOCKET": str(tmp_path / "s"), "LOADSTONE_COMPOSE_PROJECT": PROJECT}
        of = sampled()
        environ["LOADSTONE_CADVISOR_URL"] = of.cadvisor.url
        found = containers_of(load(UsageSettings, environ=environ))
        assert found is not None
        wait_until(lambda: "out-of-memory kills are not seen: " in found.take(time.time_ns())[1], "it is said")
        found.close()


def test_a_device_in_place_of_the_socket_is_no_source():
    assert containers_of(load(UsageSettings, environ={"LOADSTONE_DOCKER_SOCKET": "/dev/null"})) is None
