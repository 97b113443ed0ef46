"""Reporting a request to Locust: its `request` event and its statistics, with the same results at less cost.

Two steps of Locust 2.47 cost more than a lean request's own bookkeeping, so both are bypassed where that changes
nothing visible:

- `EventHook.fire` packs the keywords into a dictionary and unpacks it for each listener (0.8 us). `fire_request` calls
  the listeners with the same keywords, in the same order, with the same handling of what they raise.
- `RequestStats.log_request` reads the clock twice and makes eight calls (1.9 us). `quicken` puts a function on the
  statistics object that changes the same fields to the same values in 0.9 us, after a check that it does.
"""

from __future__ import annotations

import logging
import time
import traceback
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from locust import log, stats
from locust.event import EventHook
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.stats import RequestStats, StatsEntry

    from loadstone.lean.response import LeanResponse

CONTROL_FLOW = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
STOCK_FIRE = EventHook.fire
TRIAL = ((0.4, 10), (17.5, 0), (3.0, 250), (1234.5, 7), (None, 1))
"""Response times in ms and lengths in bytes on which `quicken` compares itself with Locust."""


def fire_request(
    event: EventHook,
    *,
    request_type: str,
    name: str,
    context: dict[str, Any],
    response: LeanResponse,
    exception: BaseException | None,
    start_time: float,
    url: str,
    response_length: int,
    response_time: float,
) -> None:
    """Do what `event.fire` does with these keywords; times are epoch seconds and ms, lengths bytes."""
    for listener in event._handlers.copy():  # noqa: SLF001  # what fire itself iterates over
        try:
            listener(
                request_type=request_type,
                name=name,
                context=context,
                response=response,
                exception=exception,
                start_time=start_time,
                url=url,
                response_length=response_length,
                response_time=response_time,
            )
        except CONTROL_FLOW:
            raise
        except Exception:  # noqa: BLE001  # as Locust does: a broken listener is logged and fails the run
            logging.error("Uncaught exception in event handler: \n%s", traceback.format_exc())  # noqa: LOG015, TRY400
            log.unhandled_greenlet_exception = True


@lru_cache(maxsize=8)
def firing(event: EventHook) -> Callable[..., None]:
    """Give the function that fires `event` with keywords: `fire_request`, or its own `fire` if that is not Locust's.

    All users of an event share it.
    """
    if type(event).fire is not STOCK_FIRE or "fire" in vars(event):
        return event.fire
    return partial(fire_request, event)


def quicken(statistics: RequestStats) -> None:
    """Make `statistics.log_request` cheaper; change nothing where the numbers would differ from Locust's own."""
    if "log_request" not in vars(statistics) and type(statistics) is stats.RequestStats and _agrees():
        statistics.log_request = quick_log(statistics)  # type: ignore[assignment]


def quick_log(statistics: RequestStats) -> Callable[[str, str, Any, int], None]:
    """Give an equivalent of `statistics.log_request`."""

    def log_request(method: str, name: str, response_time: Any, content_length: int) -> None:
        now = time.time()
        bucket = None if response_time is None else stats.bucket_response_time(response_time)
        _add(statistics.total, now, response_time, bucket, content_length)
        _add(statistics.entries[(name, method)], now, response_time, bucket, content_length)

    return log_request


def _add(entry: StatsEntry, now: float, response_time: Any, bucket: Any, content_length: int) -> None:
    second = int(now)
    if entry.use_response_times_cache and entry.last_request_timestamp and second > int(entry.last_request_timestamp):
        entry._cache_response_times(second - 1)  # noqa: SLF001
    entry.num_requests += 1
    entry.num_reqs_per_sec[second] += 1
    entry.last_request_timestamp = now
    entry.total_content_length += content_length
    if bucket is None:
        entry.num_none_requests += 1
        return
    entry.total_response_time += response_time
    if entry.min_response_time is None or response_time < entry.min_response_time:
        entry.min_response_time = response_time
    entry.max_response_time = max(entry.max_response_time, response_time)
    entry.response_times[bucket] += 1


def _agrees() -> bool:
    """Compare both ways on fresh statistics, so that a Locust whose bookkeeping has changed is left alone."""
    ours, theirs = stats.RequestStats(), stats.RequestStats()
    log_request = quick_log(ours)
    for response_time, length in TRIAL:
        log_request("GET", "/", response_time, length)
        theirs.log_request("GET", "/", response_time, length)  # type: ignore[arg-type]
    return _fields(ours) == _fields(theirs)


def _fields(statistics: RequestStats) -> list[dict[str, Any]]:
    """Give every field of both entries but those that hold the time of day."""
    timed = {"stats", "start_time", "last_request_timestamp", "num_reqs_per_sec", "response_times_cache"}
    entries = (statistics.total, statistics.entries[("/", "GET")])
    return [{key: value for key, value in vars(entry).items() if key not in timed} for entry in entries]
