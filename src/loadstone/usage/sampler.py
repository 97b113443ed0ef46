"""The service that samples once a second, on the second, and publishes what it found."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Final

from loadstone.domain.event import UsageTick, encode_usage
from loadstone.stream.client import FAILURES, USAGE, connect
from loadstone.stream.producer import add
from loadstone.usage.processes import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import UsageSettings

__all__ = ["sample_forever"]

_INTERVAL_S: Final = 1.0
log = logging.getLogger("loadstone.usage")


def sample_forever(settings: UsageSettings, stopped: Callable[[], bool]) -> None:
    """Sample until ``stopped()`` says so, or all processes are gone. A tick that cannot be published is logged."""
    client = connect(settings.redis_url, timeout_s=_INTERVAL_S)
    trees = [tree for pid in settings.pid if (tree := ProcessTree.of(pid, settings.service))]
    source, seq = uuid.uuid4().hex, 0
    while trees and not stopped():
        rows = tuple(usage for tree in trees if (usage := tree.sample(time.monotonic())))
        if rows:
            tick = UsageTick(at_ns=time.time_ns(), source=source, seq=seq, rows=rows)
            seq += 1
            try:
                add(client, USAGE, encode_usage(tick))
            except FAILURES as error:
                log.warning("usage=dropped seq=%d error=%r", tick.seq, str(error))
        trees = [tree for tree in trees if tree.root.is_running()]
        time.sleep(_INTERVAL_S - time.time() % _INTERVAL_S)
