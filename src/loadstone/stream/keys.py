"""The name of every key, stream, consumer group and entry field that loadstone keeps in Redis or Valkey.

No other module spells one. Keys that end with the life of a run expire by themselves after `KEPT_S`.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGGREGATORS",
    "AGGREGATOR_LEASE",
    "BACKFILL_QUEUE",
    "BLOB",
    "DEAD_LETTERS",
    "EVENTS",
    "INFLUX_CUT",
    "INFLUX_DEAD_LETTERS",
    "INFLUX_OPEN",
    "INFLUX_TROUBLE",
    "KEPT_S",
    "MAC",
    "OPEN_RUNS",
    "POINTS",
    "POINTS_LEASE",
    "RUN",
    "SAMPLES",
    "STORAGE_TROUBLE",
    "USAGE",
    "WRITERS",
    "admitted_names",
    "finalizer_lease",
    "inbox",
    "influx_ledger",
    "influx_ledger_page",
    "influx_rejected",
    "lease_number",
    "live",
    "run_secret",
]

SAMPLES: Final = "samples"
"""Stream of the workers' batches."""

EVENTS: Final = "events"
"""Stream of what happened to a run, from its master, its workers and the platform."""

USAGE: Final = "usage"
"""Stream of the usage samplers' ticks. They belong to no run: its entries have an empty `RUN`."""

POINTS: Final = "points"
"""Stream of ready line protocol, from the Aggregator to the InfluxWriters."""

DEAD_LETTERS: Final = "dead_letters"
"""Stream, bounded: entries that the Aggregator could not decode, each with the reason."""

INFLUX_DEAD_LETTERS: Final = "dead_letters:influx"
"""Stream, bounded: lines that InfluxDB rejected, each with the reason."""

RUN: Final = "run"
"""Field of an entry: the id of its run."""

BLOB: Final = "b"
"""Field of an entry: its content, in the format of its stream."""

MAC: Final = "mac"
"""Field of an entry: the proof that it belongs to its run; see `loadstone.stream.proof`."""

AGGREGATORS: Final = "aggregator"
"""Consumer group of the Aggregator, on `SAMPLES`, `EVENTS` and `USAGE`."""

WRITERS: Final = "influx"
"""Consumer group of all InfluxWriters of a deployment, on `SAMPLES` and `POINTS`."""

AGGREGATOR_LEASE: Final = "lease:aggregator"
"""Lease of the one Aggregator of a deployment."""

POINTS_LEASE: Final = "lease:points"
"""Lease of the one InfluxWriter that may write points."""

OPEN_RUNS: Final = "open_runs"
"""Set of the runs that the Aggregator has not closed; it opens them again after a restart."""

STORAGE_TROUBLE: Final = "storage_trouble"
"""Why and since when the disk of the results takes nothing (JSON); not there while it does."""

INFLUX_OPEN: Final = "influx_open"
"""Set of the runs of which InfluxDB does not have everything yet."""

INFLUX_CUT: Final = "influx_cut"
"""Set of the runs whose entries were cut before InfluxDB had them; each is backfilled again when it has closed."""

INFLUX_TROUBLE: Final = "influx_trouble"
"""Why a writer cannot write right now (JSON); it expires shortly after the writer's last try."""

BACKFILL_QUEUE: Final = "backfill"
"""Hash of the runs to backfill, each with a token that is new with every request."""

KEPT_S: Final = 7 * 24 * 3600
"""How long the ledger and the names of a run are kept after their last change, and its secret after it was closed."""


def inbox(stream: str) -> str:
    """The key of the list into which producers put the entries of a stream; the Aggregator moves them from there."""
    return f"inbox:{stream}"


def run_secret(run: str) -> str:
    """The key of a run's secret, written once by its master; ``*`` as the run gives the pattern of all of them."""
    return f"run_secret:{run}"


def live(run: str) -> str:
    """The key of a run's newest live snapshot (JSON); ``*`` as the run gives the pattern of all of them."""
    return f"live:{run}"


def admitted_names(run: str) -> str:
    """The key of the request names that the Aggregator has admitted, a JSON list in the order of the run's journal."""
    return f"admitted_names:{run}"


def influx_ledger(run: str) -> str:
    """The key of a run's InfluxDB ledger, a hash of counters."""
    return f"influx:{run}"


def influx_ledger_page(run: str, incarnation: str, page: int) -> str:
    """The key of a bitmap: which batches of an incarnation the InfluxDB ledger has counted."""
    return f"influx:{run}:{incarnation}:{page}"


def influx_rejected(run: str) -> str:
    """The key of the first line of a run that InfluxDB rejected, with the reason (JSON)."""
    return f"influx_rejected:{run}"


def finalizer_lease(run: str) -> str:
    """The key of the lease under which one finalizer at a time closes a run."""
    return f"lease:finalizer:{run}"


def lease_number(lease: str) -> str:
    """The key of the counter from which a lease draws its fencing numbers."""
    return f"{lease}:number"
