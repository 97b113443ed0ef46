"""The one study of a `loadstone capacity` that a test has started: what it holds so far, and going on after a kill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.loadstone_run import LoadstoneRun

__all__ = ["killed_and_resumed", "study_of", "trials_of"]


def study_of(run: LoadstoneRun) -> dict[str, Any]:
    """The contents of its study.json."""
    (path,) = run.results.glob("studies/*/study.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def trials_of(run: LoadstoneRun) -> list[dict[str, Any]]:
    """Those of its study so far, which may not have begun."""
    return study_of(run)["trials"] if list(run.results.glob("studies/*/study.json")) else []


def killed_and_resumed(run: LoadstoneRun, new_run: Callable[..., LoadstoneRun]) -> tuple[dict[str, Any], LoadstoneRun]:
    """Kill a study that goes on, after two trials, and resume it to its end: what it held then, and the one resumed."""
    run.wait_for(lambda: len(trials_of(run)) >= 2 or None, timeout_s=120)
    run.kill_everything()
    before = study_of(run)
    assert before["answer"] is None
    resumed = new_run(None, "--resume", "latest", verb="capacity")
    resumed.folder = run.folder
    assert resumed.start().finish(400) == 0, resumed.output
    assert study_of(run)["trials"][: len(before["trials"])] == before["trials"]
    return before, resumed
