"""The exit code of Locust as a judgement of the scenario: every code but 0 is a failure, with one exception.

Locust exits with ``--exit-code-on-error`` (1 by default) when any request of the run failed, or any task raised an
exception. Where objectives of the run judge those, they decide, and the code is a notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import ExitFacts, RunFacts
    from loadstone.domain.objective import Objective

__all__ = ["exit_doubts", "exit_notices", "exit_reasons"]

_CURE = "give an objective on {metrics}, or --exit-code-on-error 0"


def exit_reasons(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """Why the exit codes of the run's processes make it fail; none if they do not."""
    master = next((exited.code for exited in facts.exits if exited.worker is None), None)
    for exited in facts.exits:
        said = exited.worker is not None and exited.code == master
        if exited.code and not said and not _is_judged(exited, objectives):
            yield _reason(exited)


def exit_notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """Exit codes that objectives overrule."""
    for exited in facts.exits:
        if exited.code and _is_judged(exited, objectives):
            yield f"{_code(exited)}, because {_errors(exited)}; the objectives judge that"


def exit_doubts(facts: RunFacts) -> Iterator[str]:
    """Exit codes that are unknown though the run ended: a killed process may have been about to judge it."""
    for exited in facts.exits:
        if exited.code is None and not facts.master_lost:
            yield "Locust's master was killed before it ended by itself, so the scenario's exit code is unknown"
    if facts.exit_unknown:
        yield "Locust's exit code is unknown: nothing reported it after the run had stopped"


def _is_judged(exited: ExitFacts, objectives: Sequence[Objective]) -> bool:
    if exited.chosen or exited.raised or not _counted(exited):
        return False
    return _counted(exited) <= {objective.metric for objective in objectives if objective.name is None}


def _counted(exited: ExitFacts) -> set[str]:
    """The metrics of what Locust counted."""
    counts = {"failures": exited.failures, "exceptions": exited.exceptions}
    return {metric for metric, count in counts.items() if count}


def _reason(exited: ExitFacts) -> str:
    if exited.chosen:
        where = "" if exited.worker is None else f" on worker {exited.worker}"
        return f"the scenario ended with exit code {exited.code}{where}"
    if exited.raised:
        return f"{_code(exited)}: code of the scenario outside of tasks raised an exception"
    if not _counted(exited):
        return _code(exited)
    cure = _CURE.format(metrics=" and ".join(sorted(_counted(exited), reverse=True)))
    return f"{_code(exited)}, because {_errors(exited)}; if that may be, {cure}"


def _code(exited: ExitFacts) -> str:
    where = "" if exited.worker is None else f" on worker {exited.worker}"
    return f"Locust's exit code{where} is {exited.code}"


def _errors(exited: ExitFacts) -> str:
    failures = f"{exited.failures} request{'s' if exited.failures != 1 else ''} failed"
    exceptions = f"tasks raised {exited.exceptions} exception{'s' if exited.exceptions != 1 else ''}"
    return " and ".join(text for text, count in ((failures, exited.failures), (exceptions, exited.exceptions)) if count)
