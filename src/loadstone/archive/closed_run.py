"""The runs in a results folder: which there are, which one is meant, and what a closed one holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from loadstone.archive.folder import RunFolder
from loadstone.errors import ArchiveError, UsageError

__all__ = ["LATEST", "list_runs", "load_run", "resolve_run"]

LATEST: Final = "latest"
_SHOWN: Final = 10


def list_runs(results: Path) -> list[RunFolder]:
    """Every run folder, oldest first (ids begin with the time), closed or not; none when ``results`` is not there."""
    folders = [RunFolder(path) for path in results.iterdir() if path.is_dir()] if results.is_dir() else []
    return sorted((folder for folder in folders if _is_run(folder)), key=lambda folder: folder.run)


def resolve_run(results: Path, text: str) -> RunFolder:
    """The run that is meant: its id, the beginning of it if no other id begins so, ``latest``, or its folder's path.

    Raises `UsageError` with the candidates when there is none, or more than one.
    """
    runs = list_runs(results)
    if text == LATEST and runs:
        return runs[-1]
    found = [folder for folder in runs if folder.run == text] or [f for f in runs if text and f.run.startswith(text)]
    if len(found) == 1:
        return found[0]
    direct = RunFolder(Path(text))
    if not found and "/" in text and _is_run(direct):
        return direct
    raise _not_resolved(results, text, runs, found)


def load_run(folder: RunFolder) -> dict[str, Any]:
    """The content of a run's run.json. Raises `ArchiveError` when the run was not closed, or the file is damaged."""
    try:
        document: dict[str, Any] = json.loads(folder.run_json.read_bytes())
    except FileNotFoundError as error:
        raise ArchiveError(
            f"run {folder.run} is not closed: {folder.run_json} is missing",
            hint=f"Wait for its end, or run `loadstone recover {folder.run}`",
        ) from error
    except ValueError as error:
        raise ArchiveError(
            f"{folder.run_json} is not JSON: {error}",
            hint=f"Delete it and run `loadstone recover {folder.run}`",
        ) from error
    return document


def _is_run(folder: RunFolder) -> bool:
    return folder.is_closed or folder.journal.is_dir()


def _not_resolved(results: Path, text: str, runs: list[RunFolder], found: list[RunFolder]) -> UsageError:
    if found:
        names = ", ".join(folder.run for folder in found[-_SHOWN:])
        return UsageError(f"run {text!r} is ambiguous: {names}", hint="Give more of its id")
    if not runs:
        return UsageError(f"there is no run in {results}", hint="Start one with `loadstone run`, or give --results")
    names = ", ".join(folder.run for folder in runs[-_SHOWN:])
    return UsageError(
        f"there is no run {text!r} in {results}; the newest are {names}", hint=f"`{LATEST}` is the newest"
    )
