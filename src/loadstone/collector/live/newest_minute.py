"""What the objectives of a run in progress come to over the newest minute of its window, which is no verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadstone.archive.run_state import OPEN_SECONDS
from loadstone.domain.facts import ArrivalFacts, RunFacts, Window
from loadstone.domain.live import LiveObjective
from loadstone.domain.objective import EXCEPTIONS, parse_objective
from loadstone.domain.rollup import merged
from loadstone.domain.time import NS_PER_S
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.run_state import RunState
    from loadstone.domain.objective import Objective
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.rollup import Rollup

__all__ = ["live_objectives"]

_AT_THE_END: Final = "judged at the end of the run"
_NOT_OPEN: Final = "the window is not open yet"
_NEVER_OPENED: Final = "the window did not open"


def live_objectives(state: RunState) -> Iterator[LiveObjective]:
    """Objectives over the newest minute of the window, but those of exceptions over all of it so far.

    Undecided are all of them before the window is open, those of usage, of which only the newest tick is at hand, and
    those of totals, of which a minute tells only that one is beyond its limit for good.
    """
    window = _window(state)
    facts = None if isinstance(window, str) else _newest_minute(state, window)
    for line in state.lifecycle.identity.objectives:
        try:
            objective = parse_objective(line)
        except UsageError:
            continue  # the verdict says what is wrong with it
        if isinstance(window, str):
            yield _undecided(objective, window)
        elif objective.is_usage or facts is None:
            yield _undecided(objective, _AT_THE_END)
        elif objective.metric == EXCEPTIONS:
            yield _total(objective, replace(facts, exceptions=state.lifecycle.exceptions_in(window)))
        elif objective.is_total:
            yield _total(objective, facts)
        else:
            found = objective.evaluate(facts)
            yield LiveObjective(text=found.text, value=found.value, unit=found.unit, ok=found.ok, reason=found.reason)


def _undecided(objective: Objective, reason: str) -> LiveObjective:
    return LiveObjective(text=objective.text, value=None, unit=objective.unit, ok=None, reason=reason)


def _total(objective: Objective, facts: RunFacts) -> LiveObjective:
    found, since_opened = objective.evaluate(facts), objective.metric == EXCEPTIONS
    ok, reason = None, _AT_THE_END
    if found.value is not None and objective.is_lost_at(found.value):
        ok, reason = False, f"since the window opened: {found.reason}" if since_opened else found.reason
    return LiveObjective(
        text=found.text, value=found.value, unit=found.unit, ok=ok, reason=reason, since_opened=since_opened
    )


def _window(state: RunState) -> Window | str:
    """The verdict's window as far as it is known; why there is none until its first whole second can be over."""
    lifecycle, known_ns = state.lifecycle, state.watermark_second() * NS_PER_S
    end_ns = lifecycle.stopping_ns or lifecycle.stopped_ns
    opens_ns = None if lifecycle.ramp_done_ns is None else lifecycle.ramp_done_ns + lifecycle.warmup_ns
    if end_ns is not None and (opens_ns is None or opens_ns >= end_ns):
        return _NEVER_OPENED
    if opens_ns is None or opens_ns > known_ns:
        return _NOT_OPEN
    return Window(opens_ns, end_ns or max(known_ns, state.newest_ns + 1))


def _newest_minute(state: RunState, window: Window) -> RunFacts | None:
    """The newest minute of the window in whole seconds, with those in which nobody was answered.

    It is shorter where less is kept, and None where nothing is left: long after users began to stop.
    """
    end = min(state.watermark_second(), window.end_ns // NS_PER_S)
    first = max(-(-window.start_ns // NS_PER_S), end - OPEN_SECONDS, state.complete_from_second)
    if state.complete_from_second >= end:
        return None
    parts: dict[int, list[Rollup]] = {}
    for second in range(first, end):
        for name_id, rollup in state.open_seconds.get(second, {}).items():
            parts.setdefault(name_id, []).append(rollup)
    names: dict[RequestName, Rollup] = {state.names[name_id]: merged(rollups) for name_id, rollups in parts.items()}
    minute = Window(first * NS_PER_S, end * NS_PER_S)
    return RunFacts(
        window=minute,
        names=names,
        total=merged(names.values()),
        ledger=state.ledger(end * NS_PER_S),
        arrivals=None if (arrivals := state.arrivals) is None else ArrivalFacts(**arrivals._asdict()),
    )
