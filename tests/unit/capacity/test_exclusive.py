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


@pytest.mark.parametrize(
    "other",
    [
        "http://127.0.0.1:8089",
        "http://[::1]:8089/",
        "HTTP://LocalHost:8089",
        "http://0.0.0.0:8089",
        "http://127.0.1.1:8089",
        "http://***@localhost:8089",
        "http://elsewhere, http://localhost:8089",
    ],
)
def test_one_address_in_another_spelling_is_the_same_target(other: str):
    with (
        only_study_of("http://localhost:8089", "first"),
        pytest.raises(UsageError, match=r"another study of .* is in progress: first"),
        only_study_of(other, "second"),
    ):
        pass


@pytest.mark.parametrize(
    ("one", "other"), [("http://target", "http://target:80"), ("https://Target/", "https://target.:443")]
)
def test_a_port_that_goes_without_saying_is_the_same_target(one: str, other: str):
    with only_study_of(one, "first"), pytest.raises(UsageError, match="first"), only_study_of(other, "second"):
        pass


@pytest.mark.parametrize(
    "other",
    ["http://target:81", "https://target", "http://target/v2", "service target", "http://[", "a, http://target"],
)
def test_another_port_scheme_or_path_is_another_target(other: str):
    with only_study_of("http://target", "first"), only_study_of(other, "second"):
        pass


def test_a_study_of_two_addresses_of_one_target_does_not_wait_for_itself():
    with only_study_of("http://localhost:1, http://127.0.0.1:1", "first"):
        pass


def test_a_lock_that_cannot_be_opened_is_told_with_the_cure(tmp_path: Path):
    with only_study_of("http://target", "first"):
        (lock,) = tmp_path.iterdir()
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlatformError, match="Remove it if none does"), only_study_of("http://target", "second"):
        pass
    assert not (tmp_path / "elsewhere").exists()
