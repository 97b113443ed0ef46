"""What the target reports about itself: log lines on standard error, and metrics for Prometheus.

A log line is one event in logfmt: ``key=value`` pairs, quoted where needed. Metric names begin with ``target_``, and
times are in seconds.
"""

from __future__ import annotations

import datetime as dt
import sys
import threading
from typing import TYPE_CHECKING, Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Outcome = Literal["ok", "invalid", "refused", "overloaded", "loading", "failed", "aborted"]

_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
_NEEDS_QUOTES: Final = frozenset(' "=\n\t')
_lock: Final = threading.Lock()


def log_info(event: str, **fields: object) -> None:
    """Log a normal event. A unit is part of a field's name (``took_s``)."""
    _write("info", event, fields)


def log_warning(event: str, **fields: object) -> None:
    """Log a problem that the target handles by itself."""
    _write("warning", event, fields)


def log_error(event: str, **fields: object) -> None:
    """Log a problem that needs an operator."""
    _write("error", event, fields)


def format_line(when: dt.datetime, level: str, event: str, fields: dict[str, object]) -> str:
    """Format one line: time in UTC with milliseconds, level, event, then the fields that are not None."""
    stamp = when.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pairs = {"time": stamp, "level": level, "event": event, **fields}
    return " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items() if value is not None)


def _write(level: str, event: str, fields: dict[str, object]) -> None:
    line = format_line(dt.datetime.now(dt.UTC), level, event, fields)
    with _lock:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _quoted(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if text and not _NEEDS_QUOTES.intersection(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


class Metrics:
    """One process's metrics, in a registry of their own so that two targets can live in one process.

    Attributes:
        model_s: time in one call of the model.
        batch_rows: rows in one call of the model.
        queue_s: time from a request's arrival in the queue to the start of its batch.
        request_s: time from a request's last byte to its answer: the server's share of the latency a client sees.

    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        requests = self._counter("predict_requests", "Predict requests received, by outcome.", ["outcome"])
        self._outcomes = {outcome: requests.labels(outcome=outcome) for outcome in get_args(Outcome)}
        self.rows = self._counter("rows", "Rows predicted.")
        self.swaps = self._counter("model_swaps", "Times that another version replaced the one being served.")
        self.batch_splits = self._counter(
            "batch_splits", "Batches that failed as one and were predicted request by request."
        )
        self.registry_errors = self._counter("registry_errors", "Registry lookups without a usable answer.")
        self.request_s = self._histogram("request_seconds", "From a request's last byte to its answer.", _SECONDS)
        self.queue_s = self._histogram("queue_seconds", "From a request's arrival in the queue to its batch.", _SECONDS)
        self.model_s = self._histogram("model_seconds", "One call of the model.", _SECONDS)
        self.batch_rows = self._histogram("batch_rows", "Rows in one call of the model.", _ROWS)
        self._queue = Gauge("target_queue_rows", "Rows waiting for the model.", registry=self._registry)
        self._model = Gauge(
            "target_model_info", "1 for the model being served.", ["name", "version", "mode"], registry=self._registry
        )

    def received(self, outcome: Outcome) -> None:
        """Count one predict request once its outcome is known; the sum over all outcomes is the number received."""
        self._outcomes[outcome].inc()

    def serves(self, name: str, version: str, mode: str) -> None:
        """Set which model is being served."""
        self._model.clear()
        self._model.labels(name=name, version=version, mode=mode).set(1)

    def watch_queue(self, rows: Callable[[], int]) -> None:
        """Call ``rows`` for the queue's length whenever the metrics are read."""
        self._queue.set_function(rows)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"target_{name}", text, labels or [], registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"target_{name}", text, buckets=buckets, registry=self._registry)
