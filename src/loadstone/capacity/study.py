"""StudyFolder: ``results/studies/ID/study.json``, which studies there are, and which one is named.

The file is replaced after each trial, so a study that was killed goes on where it was (`Trials`).
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.archive.folder import replace_file
from loadstone.archive.plain_file import check_plain_file
from loadstone.capacity.study_record import StudyRecord
from loadstone.errors import UnreadableRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["STUDIES", "StudyFolder", "resolve_study"]

STUDIES: Final = "studies"
"""The folder of all studies, in the results folder."""
_LATEST: Final = "latest"
_MOST_BYTES: Final = 32 * 1024 * 1024
_SHOWN: Final = 5


class StudyFolder:
    """The folder of one study."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def study_json(self) -> Path:
        """What was asked, every trial, and the answer."""
        return self.path / "study.json"

    @property
    def page(self) -> Path:
        """The same for people."""
        return self.path / "capacity.html"

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


def resolve_study(results: Path, text: str) -> StudyFolder:
    """The study that ``text`` names: its id, a prefix that no other has, or ``latest``. Raises `UsageError`."""
    studies = _studies(results)
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


def _studies(results: Path) -> list[StudyFolder]:
    """Every study in a results folder, oldest first."""
    folder = results / STUDIES
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [found for found in map(StudyFolder, paths) if found.study_json.exists()]
