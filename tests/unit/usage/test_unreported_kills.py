"""UnreportedKills: which ends of containers count as kills for lack of memory that the engine did not report."""

from __future__ import annotations

import pytest

from loadstone.usage.unreported_kills import UnreportedKills


class Machine:
    """What the kernel counts, and a clock."""

    def __init__(self) -> None:
        self.kills: int | None = 40
        self.now_s = 1000.0
        self.heard = UnreportedKills(lambda: self.kills, lambda: self.now_s)
        self.found: list[str] = []

    def runs_on(self, seconds: float = 4.0) -> list[str]:
        """Take once a second, as the sampler does; all that was found so far."""
        for _ in range(int(seconds)):
            self.now_s += 1
            self.found += [name for _, name in self.heard.take()]
        return self.found

    def ends(self, container: str, exit_code: str = "137") -> None:
        """A container ends, by SIGKILL unless something else is said."""
        self.heard.ended(container, ("service", container), exit_code)

    def kill(self, container: str, *, reported: bool, late: bool = False) -> None:
        """The kernel kills a container for lack of memory, and it ends."""
        assert self.kills is not None
        self.kills += 1
        if reported and not late:
            assert self.heard.killed(container)
        self.ends(container)
        if reported and late:
            assert self.heard.killed(container)


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.runs_on()
    return made


@pytest.mark.parametrize("late", [False, True])
def test_kills_that_are_reported_are_not_found_again(machine: Machine, late: bool):
    for _ in range(5):
        machine.kill("a", reported=True, late=late)
        machine.runs_on(1)
    assert machine.runs_on() == []


def test_a_kill_that_is_not_reported_is_found_once(machine: Machine):
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]
    assert machine.runs_on() == ["a"]


def test_each_of_several_that_are_not_reported_is_found(machine: Machine):
    for container in ("a", "b", "a"):
        machine.kill(container, reported=False)
    machine.kill("b", reported=True)
    assert sorted(machine.runs_on()) == ["a", "a", "b"]


def test_one_that_follows_another_that_was_reported_is_found(machine: Machine):
    machine.kill("a", reported=True)
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]


def test_a_process_that_was_killed_long_before_explains_no_end(machine: Machine):
    assert machine.kills is not None
    machine.kills += 1
    machine.heard.killed("a")
    machine.runs_on(6)
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]


def test_one_that_follows_a_restart_that_was_asked_for_is_found(machine: Machine):
    machine.heard.asked("a")
    machine.ends("a", "143")
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]


def test_of_two_the_one_that_is_heard_of_late_hides_no_other_one(machine: Machine):
    assert machine.kills is not None
    machine.kills += 1
    machine.runs_on(3)
    machine.ends("a")
    machine.runs_on(1)
    machine.kill("b", reported=False)
    assert machine.runs_on() == ["a", "b"]


def test_a_report_long_after_one_was_found_is_of_another_kill(machine: Machine):
    machine.kill("a", reported=False)
    assert machine.runs_on(8) == ["a"]
    assert machine.kills is not None
    machine.kills += 1
    assert machine.heard.killed("a")


def test_a_container_that_somebody_killed_is_not_found(machine: Machine):
    machine.ends("a")
    assert machine.runs_on() == []


def test_a_container_that_the_engine_was_asked_to_end_is_not_found(machine: Machine):
    assert machine.kills is not None
    machine.heard.asked("a")
    machine.ends("a")
    machine.kills += 1  # of somebody else
    assert machine.runs_on() == []


def test_kills_elsewhere_on_the_machine_explain_no_later_end(machine: Machine):
    assert machine.kills is not None
    machine.kills += 3
    machine.runs_on(5)
    machine.ends("a")
    assert machine.runs_on() == []


def test_a_kill_that_the_kernel_had_counted_before_its_end_was_reported_is_found(machine: Machine):
    assert machine.kills is not None
    machine.kills += 1
    machine.runs_on(1)
    machine.ends("a")
    assert machine.runs_on() == ["a"]


def test_a_kill_in_the_first_second_is_found():
    machine = Machine()
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_one_whose_end_is_heard_of_seconds_later_is_found(machine: Machine, seconds: int):
    assert machine.kills is not None
    machine.kills += 1
    machine.runs_on(seconds)
    machine.ends("a")
    assert machine.runs_on() == ["a"]


def test_a_report_that_comes_after_it_was_found_does_not_count_again(machine: Machine):
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a"]
    assert not machine.heard.killed("a")
    machine.kill("a", reported=True)
    machine.kill("a", reported=False)
    assert machine.runs_on() == ["a", "a"]


def test_reports_that_are_on_their_way_explain_no_end(machine: Machine):
    """Others are killed all the time, and each report takes half a tick."""
    assert machine.kills is not None
    machine.ends("a")
    for number in range(6):
        machine.kills += 1
        machine.now_s += 0.5
        machine.found += [name for _, name in machine.heard.take()]
        machine.heard.killed(f"other {number}")
        machine.ends(f"other {number}")
        machine.now_s += 0.5
        machine.found += [name for _, name in machine.heard.take()]
    assert machine.runs_on() == []


def test_it_remembers_nothing_for_long(machine: Machine):
    for number in range(100):
        machine.heard.asked(f"stopped {number}")
        machine.kill(f"killed {number}", reported=False)
    machine.runs_on(40)
    assert len(machine.heard._explained) + len(machine.heard._ends) + len(machine.heard._counted_ends) == 0
    assert len(machine.heard._excess) < 6
    assert len(machine.found) == 100


def test_without_a_count_of_the_kernel_nothing_is_found(machine: Machine):
    machine.kills = None
    machine.ends("a")
    assert machine.runs_on() == []
    machine.kills = 41
    assert machine.runs_on() == []
