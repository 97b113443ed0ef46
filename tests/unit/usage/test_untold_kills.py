"""UntoldKills: which ends of containers count as kills for lack of memory that the engine did not tell."""

from __future__ import annotations

import pytest

from loadstone.usage.untold_kills import UntoldKills

SECOND = 1_000_000_000


class Machine:
    """What the kernel counts, and a clock."""

    def __init__(self) -> None:
        self.kills: int | None = 40
        self.now_s = 1000.0
        self.untold = UntoldKills(lambda: self.kills, lambda: self.now_s)
        self.found: list[str] = []

    @property
    def now_ns(self) -> int:
        return int(self.now_s * SECOND)

    def runs_on(self, seconds: float = 4.0) -> list[str]:
        """Take once a second, as the sampler does; all that was found so far."""
        for _ in range(int(seconds)):
            self.now_s += 1
            self.found += self.untold.take()
        return self.found

    def kill(self, container: str, *, told: bool, late: bool = False) -> None:
        """The kernel kills a container for lack of memory, and it ends."""
        assert self.kills is not None
        self.kills += 1
        if told and not late:
            self.untold.killed(container, self.now_ns)
        self.untold.ended(container, self.now_ns)
        if told and late:
            self.untold.killed(container, self.now_ns)


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.runs_on()
    return made


@pytest.mark.parametrize("late", [False, True])
def test_kills_that_are_told_are_not_found_again(machine: Machine, late: bool):
    for _ in range(5):
        machine.kill("a", told=True, late=late)
        machine.runs_on(1)
    assert machine.runs_on() == []


def test_a_kill_that_is_not_told_is_found_once(machine: Machine):
    machine.kill("a", told=False)
    assert machine.runs_on() == ["a"]
    assert machine.runs_on() == ["a"]


def test_each_of_several_that_are_not_told_is_found(machine: Machine):
    for container in ("a", "b", "a"):
        machine.kill(container, told=False)
    machine.kill("b", told=True)
    assert sorted(machine.runs_on()) == ["a", "a", "b"]


def test_one_that_follows_another_that_was_told_is_found(machine: Machine):
    machine.kill("a", told=True)
    machine.kill("a", told=False)
    assert machine.runs_on() == ["a"]


def test_a_process_that_was_killed_long_before_explains_no_end(machine: Machine):
    assert machine.kills is not None
    machine.kills += 1
    machine.untold.killed("a", machine.now_ns)
    machine.runs_on(6)
    machine.kill("a", told=False)
    assert machine.runs_on() == ["a"]


def test_a_container_that_somebody_killed_is_not_found(machine: Machine):
    machine.untold.ended("a", machine.now_ns)
    assert machine.runs_on() == []


def test_a_container_that_the_engine_was_asked_to_end_is_not_found(machine: Machine):
    assert machine.kills is not None
    machine.untold.asked("a", machine.now_ns)
    machine.untold.ended("a", machine.now_ns)
    machine.kills += 1  # of somebody else
    assert machine.runs_on() == []


def test_kills_elsewhere_on_the_machine_explain_no_later_end(machine: Machine):
    assert machine.kills is not None
    machine.kills += 3
    machine.runs_on(5)
    machine.untold.ended("a", machine.now_ns)
    assert machine.runs_on() == []


def test_a_kill_that_the_kernel_had_counted_before_its_end_was_told_is_found(machine: Machine):
    assert machine.kills is not None
    machine.kills += 1
    machine.runs_on(1)
    machine.untold.ended("a", machine.now_ns)
    assert machine.runs_on() == ["a"]


def test_a_kill_in_the_first_second_is_found():
    machine = Machine()
    machine.kill("a", told=False)
    assert machine.runs_on() == ["a"]


def test_without_a_count_of_the_kernel_nothing_is_found(machine: Machine):
    machine.kills = None
    machine.untold.ended("a", machine.now_ns)
    assert machine.runs_on() == []
    machine.kills = 41
    assert machine.runs_on() == []
