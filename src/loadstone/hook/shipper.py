"""Shipper: every half second, what the Recorder holds becomes one batch in the stream `samples`."""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import gevent

from loadstone.domain.batch import Batch, encode_batch
from loadstone.domain.batch_parts import parts_of
from loadstone.domain.cut import MOST_CUT, CutRequest
from loadstone.domain.request_name import RequestName
from loadstone.domain.time import NS_PER_US
from loadstone.hook.aborted import Aborted, Stuck
from loadstone.hook.process_stats import LoopLag, ProcessMonitor
from loadstone.hook.sender import Sender
from loadstone.hook.unreported import unreported
from loadstone.host.cpu import HostCpu
from loadstone.lean import connections
from loadstone.stream.client import is_local
from loadstone.stream.keys import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.arrival_counts import ArrivalCounts
    from loadstone.hook.aborted import UserEnd
    from loadstone.hook.recorder import Recorder, Recording
    from loadstone.hook.target_clock import TargetClock
    from loadstone.stream.proof import RunSecret

__all__ = ["Shipper"]

_INTERVAL_S: Final = 0.5
_CLOCK_EVERY_BATCHES: Final = 20
"""Batches between two readings of the clock offset: ten seconds."""
log = logging.getLogger("loadstone.shipper")


class Shipper:
    """Ships one incarnation: one life of this process in one run."""

    def __init__(
        self,
        recorder: Recorder,
        redis_url: str,
        secret: RunSecret,
        worker: int,
        users: Callable[[], int],
        target_clock: TargetClock | None = None,
        arrivals: Callable[[], ArrivalCounts | None] = lambda: None,
    ) -> None:
        self.incarnation = uuid.uuid4().hex
        self._aborted = self._stuck = self._went_away = 0
        self._cut: list[CutRequest] = []
        self._recorder = recorder
        self._run = secret.run
        self._worker = worker
        self._users = users
        self._sender = Sender(redis_url, SAMPLES, secret)
        self._seq = self._produced = self._dropped = 0
        self._odd, self._odd_example = 0, ""
        self._lone_errors = 0
        self._unreported_before = unreported()
        self._opened_before = connections.opened()
        self.clock_offset_ms: float | None = None
        """How far this process's clock is ahead of the stream server's, as last measured."""
        self._arrivals = arrivals
        self._target_clock = target_clock
        self._own_stream = is_local(redis_url)
        self._monitor = ProcessMonitor()
        self._host = HostCpu()
        self._lag = LoopLag(recorder.now_ns)
        self._greenlets = [gevent.spawn(self._lag.watch), gevent.spawn(self._work)]

    def note_end(self, end: UserEnd) -> None:
        """Count a user that ended with a request in flight, stuck in a task, or by itself."""
        if isinstance(end, Aborted):
            self._aborted += 1
            start_ns = self._recorder.now_ns() - end.age_us * NS_PER_US
            self._cut.append(CutRequest(*RequestName.cleaned(end.method, end.name), start_ns, end.age_us))
            del self._cut[MOST_CUT:]
        elif isinstance(end, Stuck):
            self._stuck += 1
        else:
            self._went_away += 1

    def finish(self, timeout_s: float) -> None:
        """Ship what is left as this incarnation's final batch and wait, at most ``timeout_s``, for it to arrive."""
        gevent.killall(self._greenlets)
        self._ship(final=True)
        if self._target_clock:
            self._target_clock.stop()
        if not self._sender.finish(timeout_s):
            left = self._sender.outbox.samples
            log.error(
                "run=%s incarnation=%s unsent_samples=%d cause='the stream could not be reached for %s s'",
                self._run,
                self.incarnation,
                left,
                timeout_s,
            )

    def _work(self) -> None:
        while True:
            if self._seq % _CLOCK_EVERY_BATCHES == 0:
                self.clock_offset_ms = self._sender.clock_offset_ms(self._recorder.now_ns)
            self._ship(final=False)
            gevent.sleep(_INTERVAL_S)

    def _ship(self, *, final: bool) -> None:
        for part in parts_of(self._next_batch(final=final)):
            n = len(part.columns)
            self._produced += n
            blob = encode_batch(replace(part, seq=self._seq, produced=self._produced, dropped=self._dropped))
            if self._sender.outbox.fits(len(blob)) or final:
                self._sender.put(blob, n)
                self._seq += 1
                del self._cut[: len(part.cut)]
            else:
                self._dropped += n

    def _next_batch(self, *, final: bool) -> Batch:
        recording = self._recorder.take()
        self._note_odd(recording)
        outbox, stats, host = self._sender.outbox, self._monitor.read(), self._host.read()
        self._lone_errors += recording.lone_errors
        return Batch(
            run=self._run,
            worker=self._worker,
            incarnation=self.incarnation,
            seq=self._seq,
            produced=self._produced,
            dropped=self._dropped,
            buffered=outbox.samples,
            users=self._users(),
            cpu_pct=stats.cpu_pct,
            rss_bytes=stats.rss_bytes,
            new_connections=connections.opened() - self._opened_before,
            clock_offset_ms=self.clock_offset_ms,
            throttled_us=stats.throttled_us,
            aborted=self._aborted,
            loop_lag_us=self._lag.take(),
            sent_ns=self._recorder.now_ns(),
            final=final,
            names=tuple(RequestName.cleaned(*name) for name in recording.names),
            errors=recording.errors,
            columns=recording.columns,
            odd=self._odd,
            odd_example=self._odd_example,
            stalls=self._lag.take_stalls(),
            host_busy_pct=host.busy_pct,
            host_stolen_pct=host.stolen_pct,
            host_waiting_pct=host.waiting_pct,
            target_offset_ms=self._target_clock.look() if self._target_clock else None,
            own_stream=self._own_stream,
            cut=tuple(self._cut),
            stuck=self._stuck,
            went_away=self._went_away,
            lone_errors=self._lone_errors,
            arrivals=self._arrivals(),
            unreported=max(0, unreported() - self._unreported_before),
        )

    def _note_odd(self, recording: Recording) -> None:
        if not recording.odd:
            return
        if not self._odd:
            self._odd_example = recording.odd_example
            log.warning("run=%s odd_events=yes example=%r", self._run, recording.odd_example)
        self._odd += recording.odd
