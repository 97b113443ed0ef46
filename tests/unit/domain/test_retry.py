"""When what failed is tried again."""

from loadstone.domain.retry import Retries


def test_pauses_double_up_to_the_limit_however_often_it_fails():
    retries = Retries(first_s=1, longest_s=60)
    pauses = [retries.failed("a", 0.0) for _ in range(1100)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert pauses[-1] == 60


def test_each_name_waits_for_itself_until_it_succeeds():
    retries = Retries()
    retries.failed("a", 100.0)
    assert (retries.is_due("a", 100.9), retries.is_due("a", 101.0), retries.is_due("b", 0.0)) == (False, True, True)
    assert retries.names == ["a"]
    retries.succeeded("a")
    retries.succeeded("b")
    assert "a" not in retries
    assert retries.is_due("a", 0.0)
