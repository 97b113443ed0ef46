"""From what two passes over a journal found to the facts that a verdict needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadstone.domain.facts import RunFacts
from loadstone.domain.objective import parse_objectives
from loadstone.domain.rollup import merged
from loadstone.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.run_events import RunEvents
    from loadstone.archive.survey import Survey
    from loadstone.domain.facts import ServiceUsage, WorkerFacts
    from loadstone.domain.objective import Objective
    from loadstone.domain.rollup import Rollup

__all__ = ["facts_of", "objectives_of"]

_WORKER_PART = "worker"


def facts_of(
    survey: Survey,
    *,
    names: Mapping[tuple[str, str], Rollup],
    usage: Mapping[str, ServiceUsage],
    workers: tuple[WorkerFacts, ...],
    names_capped: bool,
    bound_ns: int,
    damage: tuple[str, ...],
) -> RunFacts:
    """The facts of a run; ``bound_ns`` is until when a boot that nobody missed may have gone on."""
    state, about = survey.state, survey.state.about
    exit_code = (about.target_exited or {}).get("code")
    return RunFacts(
        window=about.window(survey.first_start_ns, survey.last_end_ns),
        names=names,
        total=merged(names.values()),
        ledger=state.ledger(bound_ns),
        usage=usage,
        host_cores=_host_cores(about.identity),
        workers=workers,
        lost_workers=_lost_workers(survey),
        users_moved=about.users_moved,
        aborted=sum(boot.ledger.aborted for boot in state.boots.values()),
        target_exited=_exited_under_load(about),
        target_exit_code=exit_code if isinstance(exit_code, int) else None,
        master_lost=state.master_lost,
        interrupted=about.interrupted,
        crashed={part: code for part, code in about.crashed.items() if not part.startswith(_WORKER_PART)},
        restarted=about.restarted,
        names_capped=names_capped or about.names_capped,
        damage=damage + ((f"{survey.unread} journal entries could not be read",) if survey.unread else ()),
        locust_requests=(about.locust_totals or {}).get("requests"),
    )


def objectives_of(survey: Survey) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """The objectives that the run was started with, and what is wrong with those that cannot be understood."""
    lines = survey.state.about.identity.get("objectives")
    objectives: list[Objective] = []
    problems: list[str] = []
    for line in lines if isinstance(lines, list) else ():
        try:
            objectives.extend(parse_objectives([str(line)]))
        except SettingsError as error:
            problems.extend(error.problems)
    return tuple(objectives), tuple(problems)


def _exited_under_load(about: RunEvents) -> bool:
    """The target is expected to end after the run, not before its users were told to stop."""
    if about.target_exited_ns is None:
        return False
    stop_ns = about.stopping_ns or about.stopped_ns
    return stop_ns is None or about.target_exited_ns <= stop_ns


def _lost_workers(survey: Survey) -> tuple[int, ...]:
    """Workers that were missed while users ran and never ended properly."""
    state = survey.state
    ended = {boot.ledger.worker for boot in state.boots.values() if not boot.ledger.is_lost}
    return tuple(sorted(set(state.about.lost_at_ns) - ended))


def _host_cores(identity: Mapping[str, Any]) -> float | None:
    limits = identity.get("limits")
    cores = limits.get("host_cores") if isinstance(limits, dict) else None
    return float(cores) if isinstance(cores, int | float) else None
