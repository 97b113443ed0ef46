"""Study: what was asked, every trial, and the answer, in ``results/studies/ID/study.json``.

The file is replaced after each trial, so a study that was killed goes on where it was (`conduct`).
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from loadstone.archive.folder import replace_file
from loadstone.archive.plain_file import check_plain_file
from loadstone.domain.objective import parse_objectives
from loadstone.errors import UnreadableRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["STUDIES", "StudyFolder", "StudyRecord", "TrialRecord", "UsersAnswerRecord", "list_studies", "resolve_study"]

STUDIES: Final = "studies"
"""The folder of all studies, in the results folder."""
_FORMAT: Final = 1
_LATEST: Final = "latest"
_MOST_BYTES: Final = 32 * 1024 * 1024
_SHOWN: Final = 5


class TrialRecord(Struct, frozen=True, kw_only=True):
    """One trial: a run, and what it says of the target. Figures are those of the run's window."""

    users: Annotated[int, Meta(ge=1)]
    window_s: Annotated[float, Meta(description="How long was measured after ramp and warm-up.", ge=0)]
    run: str
    outcome: Literal["holds", "does not hold", "invalid"]
    reasons: tuple[str, ...] = ()
    broke: Annotated[bool, Meta(description="Whether the target ran out of memory or exited.")] = False
    margin: Annotated[
        float | None,
        Meta(description="Largest ln(value / limit) over the objectives; null if invalid, or if the target broke."),
    ] = None
    margin_se: Annotated[float, Meta(ge=0)] = 0.0
    objective: Annotated[str, Meta(description="The objective with that margin.")] = ""
    rps: Annotated[float, Meta(ge=0)] | None = None
    failures_pct: float = 0.0
    mean_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` where outcome and margin contradict each other."""
        has_none = self.outcome == "invalid" or self.broke
        if (self.margin is None) is not has_none or (self.broke and self.outcome != "does not hold"):
            raise ValueError(f"the trial {self.run} is said to be {self.outcome!r}, and its margin {self.margin}")

    @property
    def why(self) -> str:
        """The first reason for its outcome, and how many more there are; empty where it holds."""
        more = len(self.reasons) - 1
        return f"{self.reasons[0]}{f' (and {more} more)' if more else ''}" if self.reasons else ""


class UsersAnswerRecord(Struct, frozen=True, kw_only=True):
    """The most users that the target holds."""

    holds: Annotated[int | None, Meta(description="The most users that held; null if not even the fewest did.")]
    not_held: Annotated[int | None, Meta(description="The fewest above them that did not; null if none was found.")]
    not_held_undecided: Annotated[bool, Meta(description="Whether those were too near the limit to tell.")] = False
    proved: Annotated[bool, Meta(description="Whether both are proved, so that there is nothing left to try.")]
    open: Annotated[str, Meta(description="Why it is not proved; empty if it is.")] = ""


class StudyRecord(Struct, frozen=True, kw_only=True):
    """Everything in study.json. Times are ISO 8601, UTC."""

    format: Annotated[int, Meta(description="Version of this layout.", ge=1, le=_FORMAT)] = _FORMAT
    id: str
    find: Literal["users"]
    started_at: str
    scenario: tuple[str, ...]
    workload: Annotated[str, Meta(description="A digest of the scenario's files and options, and of tags and seed.")]
    host: Annotated[str, Meta(description="The base addresses of the targets, secrets masked.")]
    objectives: tuple[str, ...]
    at_least: Annotated[int, Meta(ge=1)]
    at_most: Annotated[int, Meta(ge=1)]
    first: Annotated[int, Meta(description="The number of users of the first trial.", ge=1)]
    measure_s: Annotated[float, Meta(gt=0)]
    warmup_s: Annotated[float, Meta(ge=0)]
    words: Annotated[
        tuple[str, ...], Meta(description="The options that it was started with; empty if they could hold a secret.")
    ] = ()
    trials: tuple[TrialRecord, ...] = ()
    answer: Annotated[UsersAnswerRecord | None, Meta(description="Null while the study goes on.")] = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for objectives that are none."""
        try:
            parse_objectives(self.objectives)
        except UsageError as error:
            raise ValueError(str(error)) from error


class StudyFolder:
    """The folder of one study."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def study_json(self) -> Path:
        """What was asked, every trial, and the answer."""
        return self.path / "study.json"

    def read(self) -> StudyRecord:
        """Its content. Raises `UnreadableRunError` when it is missing, damaged, or of another version."""
        try:
            check_plain_file(self.study_json, "Start the study again", most_bytes=_MOST_BYTES)
            return msgspec.json.decode(self.study_json.read_bytes(), type=StudyRecord)
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableRunError(
                f"the study {self.path} cannot be read: {error}", hint="Its runs are whole: start the study again"
            ) from error

    def write(self, record: StudyRecord) -> None:
        """Replace it: readers see the old or the new one. Raises `OSError`."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"

        def write(path: Path) -> None:
            path.write_bytes(text)

        replace_file(self.study_json, write)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For as long as this lasts no other process goes on with the study. Raises `UsageError` if one does now."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"study {self.path.name} is in progress in another process", hint="Wait until it has ended"
                ) from error
            yield


def list_studies(results: Path) -> list[StudyFolder]:
    """Every study in a results folder, oldest first."""
    folder = results / STUDIES
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [found for found in map(StudyFolder, paths) if found.study_json.exists()]


def resolve_study(results: Path, text: str) -> StudyFolder:
    """The study that ``text`` names: its id, a prefix that no other has, or ``latest``. Raises `UsageError`."""
    studies = list_studies(results)
    if text == _LATEST and studies:
        return studies[-1]
    found = [each for each in studies if each.path.name == text]
    found = found or [each for each in studies if text and each.path.name.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not studies:
        raise UsageError(
            f"there is no study in {results / STUDIES}", hint="Start one with `loadstone capacity`, or give --results"
        )
    names = ", ".join(each.path.name for each in (found or studies)[-_SHOWN:])
    problem = "is ambiguous" if found else f"is not in {results / STUDIES}"
    raise UsageError(f"study {text!r} {problem}: {names}", hint=f"`{_LATEST}` is the newest")
