"""Two studies of one target exclude each other."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from loadstone.capacity.exclusive import only_study_of
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_second_study_of_a_target_is_refused_and_told_of_the_first():
    with (
        only_study_of("http://target", "results/studies/first"),
        pytest.raises(UsageError, match=r"another study of http://target is in progress: results/studies/first"),
        only_study_of("http://target", "second"),
    ):
        pass


def test_studies_of_other_targets_and_later_ones_may_begin():
    with only_study_of("http://target", "first"), only_study_of("http://other", "second"):
        pass
    with only_study_of("http://target", "third"):
        pass


def test_a_lock_that_cannot_be_opened_is_told_with_the_cure(tmp_path: Path):
    with only_study_of("http://target", "first"):
        (lock,) = tmp_path.iterdir()
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlatformError, match="Remove it if none does"), only_study_of("http://target", "second"):
        pass
    assert not (tmp_path / "elsewhere").exists()
