"""The exit code of Locust as a judgement of the scenario: every code but 0 is a failure, with one exception.

Locust exits with ``--exit-code-on-error`` (1 by default) when any request of the run failed, or any task raised an
exception. Where objectives of the run judge all of those, they decide, and the code is a notice. They judge the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import ExitFacts, RunFacts
    from loadstone.domain.objective import Objective

__all__ = ["exit_doubts", "exit_notices", "exit_reasons"]

_OPTION: Final = "--exit-code-on-error 0"
_CURE: Final = "if that may be, give an objective on {metrics}, or " + _OPTION
_CURE_OUTSIDE: Final = "{count} of them outside the window, where no objective judges; if that may be, " + _OPTION


def exit_reasons(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """Why the exit codes of the run's processes make it fail; none if they do not."""
    master = next((exited.code for exited in facts.exits if exited.worker is None), None)
    for exited in facts.exits:
        said = exited.worker is not None and exited.code == master
        if exited.code and not said and not _is_judged(exited, objectives, facts):
            yield _reason(exited, objectives, facts)


def exit_notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """Exit codes that objectives overrule."""
    for exited in facts.exits:
        if exited.code and _is_judged(exited, objectives, facts):
            yield f"{_code(exited)}, because {_errors(exited)}; the objectives judge that"


def exit_doubts(facts: RunFacts) -> Iterator[str]:
    """Exit codes that are unknown though the run ended: a killed process may have been about to judge it."""
    for exited in facts.exits:
        if exited.code is None and not facts.master_lost:
            yield "Locust's master was killed before it ended by itself, so the scenario's exit code is unknown"
    if facts.exit_unknown:
        yield "Locust's exit code is unknown: nothing reported it after the run had stopped"


def _is_judged(exited: ExitFacts, objectives: Sequence[Objective], facts: RunFacts) -> bool:
    if exited.chosen or exited.raised or not _counted(exited):
        return False
    return _have_objectives(exited, objectives) and not _outside(exited, facts)


def _have_objectives(exited: ExitFacts, objectives: Sequence[Objective]) -> bool:
    return _counted(exited) <= {objective.metric for objective in objectives if objective.name is None}


def _outside(exited: ExitFacts, facts: RunFacts) -> int:
    """How many of the failures and exceptions that Locust counted are not in the window.

    What was dropped or is unknown may be in it; the ledger's doubts are about that.
    """
    lost = facts.ledger.dropped + facts.ledger.unknown
    counts = (
        (exited.failures, facts.failures, facts.total.err),
        (exited.exceptions, facts.exceptions_of_run, facts.exceptions),
    )
    return sum(max(0, theirs - window - lost, min(theirs, run) - window) for theirs, run, window in counts)


def _counted(exited: ExitFacts) -> set[str]:
    """The metrics of what Locust counted."""
    counts = {"failures": exited.failures, "exceptions": exited.exceptions}
    return {metric for metric, count in counts.items() if count}


def _reason(exited: ExitFacts, objectives: Sequence[Objective], facts: RunFacts) -> str:
    if exited.chosen:
        where = "" if exited.worker is None else f" on worker {exited.worker}"
        return f"the scenario ended with exit code {exited.code}{where}"
    if exited.raised:
        return f"{_code(exited)}: code of the scenario outside of tasks raised an exception"
    if not _counted(exited):
        return _code(exited)
    if _have_objectives(exited, objectives):
        return f"{_code(exited)}, because {_errors(exited)}, {_CURE_OUTSIDE.format(count=_outside(exited, facts))}"
    cure = _CURE.format(metrics=" and ".join(sorted(_counted(exited), reverse=True)))
    return f"{_code(exited)}, because {_errors(exited)}; {cure}"


def _code(exited: ExitFacts) -> str:
    where = "" if exited.worker is None else f" on worker {exited.worker}"
    return f"Locust's exit code{where} is {exited.code}"


def _errors(exited: ExitFacts) -> str:
    failures = f"{exited.failures} request{'s' if exited.failures != 1 else ''} failed"
    exceptions = f"tasks raised {exited.exceptions} exception{'s' if exited.exceptions != 1 else ''}"
    return " and ".join(text for text, count in ((failures, exited.failures), (exceptions, exited.exceptions)) if count)
