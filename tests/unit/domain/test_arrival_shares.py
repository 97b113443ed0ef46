"""Who owns which arrivals, while workers join, die and stand still."""

from __future__ import annotations

import pytest

from loadstone.domain.arrival_shares import ASK_EVERY_S, LEASE_S, Answer, Grant, Shares

READY = Answer(users=5, settled=5)


class Deployment:
    """A master that asks, and workers that answer at once unless they are silent; time is virtual."""

    def __init__(self, *workers: str) -> None:
        self.now_s, self.shares, self.workers = 100.0, Shares(), list(workers)
        self.answers = dict.fromkeys(workers, READY)

    def ask(self) -> Grant | None:
        self.now_s += ASK_EVERY_S
        for worker in self.workers:
            self.shares.heard(worker, self.answers.get(worker, READY), self.now_s)
        return self.shares.grant(self.now_s)

    def begin(self) -> Grant:
        self.ask()
        grant = self.shares.begin(self.now_s)
        assert grant is not None
        return grant

    def go_on(self, seconds: float) -> Grant:
        """What holds after so long."""
        for _ in range(round(seconds / ASK_EVERY_S)):
            grant = self.ask()
        assert grant is not None
        return grant

    @property
    def elapsed_s(self) -> float:
        return self.now_s - (self.shares.begun_s or 0)


def test_nothing_is_granted_before_the_schedule_begins():
    there = Deployment("a", "b")
    assert there.ask() is None
    assert there.begin().roster == ("a", "b")
    assert there.elapsed_s == pytest.approx(-0.5), "every worker must have heard of it"


def test_it_does_not_begin_without_a_worker_that_has_users():
    there = Deployment()
    assert there.shares.begin(there.now_s) is None
    there = Deployment("a")
    there.answers["a"] = Answer(users=0, settled=0)
    there.ask()
    assert there.shares.begin(there.now_s) is None


@pytest.mark.parametrize(
    ("answer", "workers", "settled"),
    [(READY, 2, True), (READY, 3, False), (Answer(5, 4), 2, False), (Answer(0, 0), 2, True)],
)
def test_users_have_settled_when_all_of_all_workers_wait(answer: Answer, workers: int, settled: bool):
    there = Deployment("a", "b")
    there.answers["b"] = answer
    there.ask()
    assert there.shares.are_settled(workers, there.now_s) is settled


def test_workers_without_users_do_not_settle_by_themselves():
    there = Deployment("a", "b")
    there.answers = dict.fromkeys("ab", Answer(0, 0))
    there.ask()
    assert not there.shares.are_settled(2, there.now_s)


def test_as_long_as_all_answer_the_epoch_goes_on():
    there = Deployment("a", "b")
    there.begin()
    grant = there.go_on(60)
    assert (grant.epoch.number, grant.roster) == (0, ("a", "b"))
    assert grant.until_s == pytest.approx(there.elapsed_s + LEASE_S)


def test_a_worker_that_is_lost_is_replaced_within_two_seconds_where_its_lease_ends():
    there = Deployment("a", "b", "c")
    there.begin()
    there.go_on(5)
    heard_s = there.elapsed_s
    there.workers.remove("b")
    grants = [there.go_on(ASK_EVERY_S) for _ in range(15)]
    first = next(each for each in grants if each.epoch.number == 1)
    assert first.roster == ("a", "c")
    assert first.epoch.begins_s == pytest.approx(heard_s + LEASE_S)
    before = [each for each in grants if each.epoch.number == 0]
    assert max(each.until_s for each in before) <= first.epoch.begins_s, "nobody went on with the first one after that"
    assert grants.index(first) * ASK_EVERY_S < LEASE_S, "the others hear of it before it begins"
    assert grants[-1] == there.shares.grant(there.now_s)


def test_a_worker_that_joins_gets_its_share_within_two_seconds():
    there = Deployment("a")
    there.begin()
    last = there.go_on(5)
    there.workers.append("b")
    joined_s = there.elapsed_s
    grant = there.go_on(ASK_EVERY_S)
    assert (grant.epoch.number, grant.roster) == (1, ("a", "b"))
    assert last.until_s <= grant.epoch.begins_s < joined_s + 2


def test_a_worker_that_stood_still_takes_part_again():
    there = Deployment("a", "b")
    there.begin()
    there.go_on(2)
    there.workers.remove("b")
    assert there.go_on(3).roster == ("a",)
    there.workers.append("b")
    grant = there.go_on(3)
    assert (grant.epoch.number, grant.roster) == (2, ("a", "b"))
    assert there.shares.grant(there.now_s) == grant


def test_a_further_change_waits_until_the_last_one_has_begun():
    there = Deployment("a", "b")
    there.begin()
    there.go_on(2)
    there.workers.append("c")
    first = there.go_on(ASK_EVERY_S)
    there.workers.append("d")
    while (grant := there.go_on(ASK_EVERY_S)).epoch.number == 1:
        assert grant.roster == ("a", "b", "c")
    assert grant.epoch.number == 2
    assert there.elapsed_s >= first.epoch.begins_s
    assert grant.roster == ("a", "b", "c", "d")


def test_when_nobody_answers_nothing_is_granted_any_more_and_later_all_go_on():
    there = Deployment("a", "b")
    there.begin()
    until_s = there.go_on(2).until_s
    workers, there.workers = there.workers, []
    grant = there.go_on(10)
    assert (grant.epoch.number, grant.until_s) == (0, until_s)
    there.workers = workers
    assert there.go_on(1).until_s == pytest.approx(there.elapsed_s + LEASE_S)
    assert there.go_on(1).epoch.number == 0


def test_a_worker_whose_users_have_all_ended_has_no_share():
    there = Deployment("a", "b")
    there.begin()
    there.go_on(2)
    there.answers["b"] = Answer(users=0, settled=0)
    assert there.go_on(3).roster == ("a",)
