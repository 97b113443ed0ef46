"""What a study that was killed left running of a command is ended when it goes on; the processes are real."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.errors import UsageError
from loadstone.rig.command import CommandRig
from support.processes import is_gone, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 'sleep 300 & echo $! > "{}"; wait'
KILLED = """
import os, sys
from loadstone.rig.command import CommandRig
from loadstone.rig.rig import Setting
rig = CommandRig(sys.argv[1], sys.argv[1])
print(rig.before()["note"], flush=True)
if sys.argv[2] == "apply":
    rig.apply(Setting(0.5, 64 * 1024 * 1024, 1), lambda: False)
else:
    rig.restore(rig.before())
"""


@contextmanager
def killed_during(action: str, child: Path) -> Iterator[tuple[dict[str, str], psutil.Process]]:
    """What a study found before it was killed while a command of it ran, and the child of that command."""
    argv = [sys.executable, "-c", KILLED, SLOW.format(child), action]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as study:
        assert study.stdout is not None
        note = study.stdout.readline().strip()
        wait_until(lambda: child.exists() and child.read_text().endswith("\n"), "the command runs")
        study.kill()
    left = psutil.Process(int(child.read_text()))
    try:
        yield {"note": note}, left
    finally:
        with suppress(psutil.NoSuchProcess):
            left.kill()


@pytest.mark.attack(kind="kill -9 of a study while a command of it runs", outcome="ended when the study goes on")
@pytest.mark.parametrize("action", ["apply", "restore"])
def test_what_a_killed_study_left_running_is_ended_before_anything_is_put_back(tmp_path: Path, action: str):
    child, seen = tmp_path / "child", tmp_path / "seen"
    with killed_during(action, child) as (before, left):
        assert left.is_running()
        rig = CommandRig("true", f"if [ -e /proc/{left.pid}/exe ]; then echo left; else echo gone; fi > {seen}")
        rig.restore(before)
        assert seen.read_text() == "gone\n"
        assert is_gone(left.pid)
        assert rig.before() == before, "it goes on with the same note"
        assert not Path(before["note"]).exists()


def test_a_process_that_only_has_the_number_of_a_command_of_then_is_left_alone(tmp_path: Path):
    child = tmp_path / "child"
    with killed_during("apply", child) as (before, left):
        note = Path(before["note"])
        with subprocess.Popen(["sleep", "300"], start_new_session=True) as other:
            try:
                found = json.loads(note.read_text())
                long_ago_s = found["started_s"] - 3600
                note.write_text(json.dumps({"pid": other.pid, "started_s": long_ago_s}))
                CommandRig("true").restore(before)
                assert other.poll() is None
            finally:
                other.kill()
        assert left.is_running()


@pytest.mark.attack(kind="a study that names a foreign file as its note", outcome="refused, and nothing is ended")
def test_only_a_note_that_the_rig_can_have_made_is_believed(tmp_path: Path):
    note = tmp_path / "note"
    note.write_text("{}")
    with pytest.raises(UsageError, match=r"names .*note as the note of its command, which it cannot have made"):
        CommandRig("true").restore({"note": str(note)})
    assert note.exists()
