"""A run folder has one writer at a time and its files appear whole."""

import os
import subprocess
import sys

import pytest

from loadstone.archive.folder import RunFolder, replace_file
from loadstone.errors import ArchiveError

HOLD = """
import sys, pathlib
from loadstone.archive.folder import RunFolder
with RunFolder(pathlib.Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_that_the_folder_is_taken(tmp_path):
    folder = RunFolder(tmp_path / "r").create()
    with folder.lock(), pytest.raises(ArchiveError, match="being written by another process"), folder.lock():
        pass
    with folder.lock():
        pass


def test_the_lock_ends_with_its_process_even_when_that_is_killed(tmp_path):
    folder = RunFolder(tmp_path / "r").create()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ArchiveError), folder.lock():
            pass
        holder.kill()
    with folder.lock():
        pass
    assert list(folder.path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="cannot create the run folder") as error:
        RunFolder(tmp_path / "file" / "r").create()
    assert "--results" in error.value.hint


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    target = tmp_path / "run.json"
    target.write_text("old")

    def fail(path):
        path.write_text("ne")
        raise InterruptedError

    with pytest.raises(InterruptedError):
        replace_file(target, fail)
    assert target.read_text() == "old"
    replace_file(target, lambda path: path.write_text("new") and None)
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # what the crash left was used up


def test_the_run_has_its_folders_name(tmp_path):
    folder = RunFolder(tmp_path / "20260102-030405-abcd")
    assert folder.run == "20260102-030405-abcd"
    assert not folder.is_closed
