"""Exceptions of tasks: equal ones are counted together, each at its own moment."""

from __future__ import annotations

import pytest

from loadstone.hook.exception_log import ExceptionLog

TENTH = 100_000_000


class MuteError(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise LookupError("no text")


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def taken(log: ExceptionLog, now_ns: int):
    return [(each.message, each.count, each.ages) for each in log.take(now_ns, node="n", worker=3)]


def test_equal_exceptions_are_one_payload_with_the_age_of_each():
    log, error, other = ExceptionLog(), raised(ValueError("a")), raised(KeyError("b"))
    for at, exception in ((10, error), (10, error), (12, error), (13, other)):
        log.add(exception, exception.__traceback__, at * TENTH)
    assert taken(log, 20 * TENTH) == [("a", 3, ((10, 2), (8, 1))), ("'b'", 1, ((7, 1),))]
    assert taken(log, 20 * TENTH) == []


def test_an_exception_whose_text_raises_is_counted_under_its_type():
    log, error = ExceptionLog(), raised(MuteError())
    log.add(error, error.__traceback__, 0)
    assert taken(log, 0) == [("MuteError, whose text raises LookupError", 1, ((0, 1),))]


@pytest.mark.attack("a secret in a task's exception", "masked in its worker, and equal exceptions stay one")
def test_exceptions_that_differ_in_a_secret_only_are_one():
    log = ExceptionLog()
    for secret in ("hunter2", "hunter3"):
        error = raised(ValueError(f"refused: password={secret}"))
        log.add(error, error.__traceback__, 0)
    assert taken(log, 0) == [("refused: password=***", 2, ((0, 2),))]


def test_a_payload_has_its_traceback_and_says_where_it_was_raised():
    log, error = ExceptionLog(), raised(ValueError("a"))
    log.add(error, error.__traceback__, 0)
    (payload,) = log.take(0, node="client", worker=3)
    assert "raise error" in payload.traceback
    assert (payload.node, payload.worker) == ("client", 3)


def test_of_many_different_exceptions_a_hundred_are_kept_apart_and_the_rest_is_counted_together():
    log = ExceptionLog()
    for _ in range(2):
        for number in range(300):
            log.add(ValueError(str(number)), None, 0)
    payloads = list(log.take(0, node="n", worker=3))
    assert [(each.message, each.count) for each in payloads[:100]] == [(str(number), 2) for number in range(100)]
    assert [(each.message, each.traceback, each.count) for each in payloads[100:]] == [("further exceptions", "", 400)]
    log.add(ValueError("later"), None, 0)
    assert [each.message for each in log.take(0, node="n", worker=3)] == ["later"]
