"""StudyFolder: studies are found by their names, refused when they are damaged, and locked while one goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from loadstone.capacity.study import StudyFolder, resolve_study
from loadstone.errors import UnreadableRunError, UsageError
from support.studies import USERS_STUDY

if TYPE_CHECKING:
    from pathlib import Path

STUDY = replace(USERS_STUDY, trials=USERS_STUDY.trials[:1], answer=None)


def test_studies_are_found_by_id_prefix_and_as_the_latest(tmp_path: Path):
    folder = StudyFolder(tmp_path / "studies" / STUDY.id)
    folder.write(STUDY)
    for text in (STUDY.id, "20261127", "latest"):
        assert resolve_study(tmp_path, text).path == folder.path
    with pytest.raises(UsageError, match=r"study 'other' is not in .*: 20261127-120000-aaaa"):
        resolve_study(tmp_path, "other")
    with pytest.raises(UsageError, match="there is no study in"):
        resolve_study(tmp_path / "empty", "latest")


WHOLE = msgspec.json.encode(STUDY).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"format": 99}', "\x00\xff", WHOLE[:-9]),
        WHOLE.replace('"users":50', '"users":0'),
        WHOLE.replace('"outcome":"holds"', '"outcome":"invalid"'),
        WHOLE.replace('"margin_se":0.05', '"margin_se":-1'),
        WHOLE.replace("p95<500ms", "p59<"),
    ],
)
def test_a_damaged_study_is_refused_with_the_cure(tmp_path: Path, text: str):
    folder = StudyFolder(tmp_path / "studies" / STUDY.id)
    folder.write(STUDY)
    folder.study_json.write_text(text)
    with pytest.raises(UnreadableRunError, match=r"study .* cannot be read: .*start the study again"):
        folder.read()


def test_two_processes_cannot_go_on_with_one_study(tmp_path: Path):
    folder = StudyFolder(tmp_path / "s")
    with folder.locked(), pytest.raises(UsageError, match="is in progress in another process"), folder.locked():
        pass
    with folder.locked():
        pass
