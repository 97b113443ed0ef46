"""What the target counts and times, as Prometheus text. Names begin with ``target_``; times are in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Outcome = Literal["ok", "invalid", "refused", "overloaded", "loading", "failed", "aborted"]

_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """One process's metrics, in a registry of their own so that two targets can live in one process.

    Attributes:
        model_s: time in one call of the model.
        batch_rows: rows in one call of the model.
        queue_s: time from a request's arrival in the queue to the start of its batch.
        request_s: time from a request's last byte to its answer, the server's own share of a client's latency.

    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        requests = self._counter("predict_requests", "Predict requests received, by outcome.", ["outcome"])
        self._outcomes = {outcome: requests.labels(outcome=outcome) for outcome in get_args(Outcome)}
        self.rows = self._counter("rows", "Rows predicted.")
        self.swaps = self._counter("model_swaps", "Times another version took over.")
        self.batch_splits = self._counter(
            "batch_splits", "Batches that failed as one and were predicted request by request."
        )
        self.registry_errors = self._counter("registry_errors", "Looks at the registry that gave no usable answer.")
        self.request_s = self._histogram("request_seconds", "From a request's last byte to its answer.", _SECONDS)
        self.queue_s = self._histogram("queue_seconds", "From a request's arrival in the queue to its batch.", _SECONDS)
        self.model_s = self._histogram("model_seconds", "One call of the model.", _SECONDS)
        self.batch_rows = self._histogram("batch_rows", "Rows in one call of the model.", _ROWS)
        self._queue = Gauge("target_queue_rows", "Rows that wait for the model.", registry=self._registry)
        self._model = Gauge(
            "target_model_info", "1 for the model that serves.", ["name", "version", "mode"], registry=self._registry
        )

    def received(self, outcome: Outcome) -> None:
        """Count one predict request, when its outcome is known; the sum over outcomes is what was received."""
        self._outcomes[outcome].inc()

    def serves(self, name: str, version: str, mode: str) -> None:
        """Show which model serves now."""
        self._model.clear()
        self._model.labels(name=name, version=version, mode=mode).set(1)

    def watch_queue(self, rows: Callable[[], int]) -> None:
        """Take the queue's length from ``rows`` whenever the metrics are read."""
        self._queue.set_function(rows)

    def text(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"target_{name}", text, labels or [], registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"target_{name}", text, buckets=buckets, registry=self._registry)
