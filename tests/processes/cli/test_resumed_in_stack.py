"""A study of a stack that was killed goes on: its limits are put back whatever the stack's master does.

The program docker and the master are doubles; a real stack is in tests/stack/test_studies.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.capacity.study_record import SettingAnswerRecord
from loadstone.cli.study_question import asked, new_study
from loadstone.errors import ExitCode
from loadstone.rig.compose_project import ComposeRig
from loadstone.rig.rig import Setting
from loadstone.settings import CapacitySettings, load
from support.docker_double import DockerDouble
from support.environ import without_settings
from support.processes import free_port
from support.serving import serving
from support.stack_master import MasterDouble

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024**2
HASH = "h" * 64
TARGET: dict[str, Any] = {"image": "target", "cpus": 1, "mem_limit": str(512 * MIB)}
QUESTION = {"users": "30", "cpu": "0.5", "memory": "256m", "objective": ["p95<1s"]}
AGAIN = "service target of the compose project loadstone has 1 CPU and 512m x 1 replica again"


def described() -> dict[str, Any]:
    """The target's container, and the stack's master as far as it is asked."""
    labels = {"config-hash": HASH, "project": "loadstone", "project.config_files": "/srv/compose.yaml"}
    labels |= {"project.working_dir": "/srv", "project.environment_file": ""}
    return {
        "Id": "id1",
        "Name": "/loadstone-target-1",
        "Image": "sha256:ab",
        "RestartCount": 0,
        "State": {"Status": "running", "OOMKilled": False, "ExitCode": 0, "Health": {"Status": "healthy"}},
        "HostConfig": {"NanoCpus": 10**9, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 512 * MIB, "MemorySwap": 512 * MIB},
        "Config": {"Image": "target", "Labels": {f"com.docker.compose.{key}": text for key, text in labels.items()}},
    }


@pytest.fixture
def docker(tmp_path: Path) -> DockerDouble:
    """An engine with a stack."""
    double = DockerDouble(tmp_path / "bin")
    double.answer("version", "28.0")
    double.answer("ps ", "id1\n")
    double.answer("config --format json", {"name": "loadstone", "services": {"target": TARGET}})
    double.answer("config --hash target", f"target {HASH}\n")
    double.answer("container inspect id1", [described()])
    double.answer("info", {"NCPU": 4, "MemTotal": 8 * 1024 * MIB})
    double.answer(" up ", "")
    return double


def killed_study(docker: DockerDouble, results: Path, stack_url: str, **changes: Any) -> StudyFolder:
    """A study that was killed while its limits held."""
    given = {**QUESTION, "stack": "yes", "stack_url": stack_url, "results": str(results)}
    rig = ComposeRig.of_stack(docker.docker)
    words = ("--users", "30", "--cpu", "0.5", "--memory", "256m", "--objective", "p95<1s", "--stack-url", stack_url)
    study = new_study(asked(load(CapacitySettings, given, environ={}), None, rig), words)
    folder = StudyFolder(results / STUDIES / study.id)
    folder.write(replace(study, **{"before": dict(rig.before()), **changes}))
    return folder


def resumed(docker: DockerDouble, results: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "loadstone", "capacity", "--resume", "latest", "--results", str(results)],
        env=without_settings() | {"PATH": f"{docker.folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(results)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_where_the_master_is_down_the_limits_are_put_back_all_the_same(docker: DockerDouble, tmp_path: Path):
    folder = killed_study(docker, tmp_path, f"http://127.0.0.1:{free_port()}")
    with resumed(docker, tmp_path) as study:
        output, _ = study.communicate(timeout=60)
    assert study.returncode == ExitCode.USAGE, output
    assert "no compose stack answers at" in output
    assert AGAIN in " ".join(output.split())
    assert folder.read().before is None


def test_a_study_with_a_proved_answer_tries_nothing_more(docker: DockerDouble, tmp_path: Path):
    """Its trials may be those of an earlier version, which asked for others than this one would."""
    answer = SettingAnswerRecord(setting=Setting(0.5, 256 * MIB, 1), proved=True, smaller_fails=True)
    folder = killed_study(docker, tmp_path, f"http://127.0.0.1:{free_port()}", before=None, answer=answer)
    with resumed(docker, tmp_path) as study:
        output, _ = study.communicate(timeout=60)
    assert study.returncode == ExitCode.PASS, output
    assert docker.calls("up") == []
    assert folder.read().answer == answer


def test_an_interruption_while_a_run_is_awaited_starts_nothing_and_puts_the_limits_back(
    docker: DockerDouble, tmp_path: Path
):
    with serving(MasterDouble()) as master:
        master.state = "running"
        folder = killed_study(docker, tmp_path, master.url)
        with resumed(docker, tmp_path) as study:
            assert study.stdout is not None
            shown = ""
            while "its end is waited for" not in shown:
                line = study.stdout.readline()
                assert line, shown
                shown += line
            study.send_signal(signal.SIGINT)
            output, _ = study.communicate(timeout=60)
        assert study.returncode == ExitCode.INTERRUPTED, output
        assert master.requests == []
    assert AGAIN in " ".join(output.split())
    assert folder.read().before is None
