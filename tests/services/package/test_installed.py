"""The wheel in a clean environment, in a folder that is no checkout: a run, a start from nothing, and the demo."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM, REPOSITORY, run_records
from support.processes import free_port
from support.require import missing
from support.scripts import load_script

if TYPE_CHECKING:
    from support.counting_server import CountingServer

UV = Path(sys.executable).with_name("uv")
INSTALL_S = 400
OFFLINE = re.compile("dns error|error sending request|Failed to fetch|timed out")

pytestmark = pytest.mark.timeout(2 * INSTALL_S)


def uv(*arguments: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run uv, which reaches packages as `make` does."""
    install = load_script("requirements/install.py")
    environment = install.uv_environment(install.transport(), os.environ)
    return subprocess.run(
        [str(UV), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )


class Installation:
    """An environment of its own with the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path) -> None:
        self._environment = folder / "environment"
        self.work = folder / "work"
        self.work.mkdir()
        self._built = folder / "dist"
        built = uv("build", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(self._built))
        assert built.returncode == 0, built.stderr
        made = uv("venv", "--python", sys.executable, str(self._environment))
        assert made.returncode == 0, made.stderr
        self.files = sorted(path.name for path in self._built.iterdir() if path.name != ".gitignore")
        # The versions that everything else is tested with; a lock with hashes would have to name the wheel too.
        lock = (REPOSITORY / "requirements" / "dev.txt").read_text()
        pinned = [line.rstrip(" \\") for line in lock.splitlines() if line[:1].isalnum()]
        self._versions = folder / "versions.txt"
        self._versions.write_text("\n".join(pinned))

    def add(self, extra: str = "") -> None:
        """Install the wheel, with an extra."""
        (wheel,) = self._built.glob("*.whl")
        where = ("--python", str(self._environment / "bin" / "python"), "-c", str(self._versions))
        done = uv("pip", "install", *where, f"loadstone{extra} @ {wheel.as_uri()}")
        if done.returncode != 0 and OFFLINE.search(done.stderr):
            missing(f"no package index can be reached: {done.stderr[-500:]}")
        assert done.returncode == 0, done.stderr

    def loadstone(self, *words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the installed program in the folder."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("LOADSTONE_", "LOCUST_", "PY"))}
        home = home or self.work.parent
        return subprocess.run(
            [str(self._environment / "bin" / "loadstone"), *words],
            cwd=self.work,
            env={**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    if not UV.exists():
        missing("uv is not installed here")
    made = Installation(tmp_path_factory.mktemp("package"))
    made.add()
    return made


def test_a_wheel_and_a_source_distribution_are_built(installation: Installation):
    assert [name.split("-")[0] for name in installation.files] == ["loadstone", "loadstone"]
    assert {name.rpartition(".")[2] for name in installation.files} == {"whl", "gz"}


def test_the_boards_are_in_it(installation: Installation):
    (installation.work / "token").write_text("t")
    where = ("--url", f"http://127.0.0.1:{free_port()}", "--token-file", "token")
    pushed = installation.loadstone("grafana", "push", *where)
    assert "cannot be reached" in pushed.stderr, "it got past reading the boards"


def test_a_start_from_nothing_is_a_run_with_a_verdict(installation: Installation, counting_server: CountingServer):
    begun = installation.loadstone("init", "--host", counting_server.url)
    assert begun.returncode == 0, begun.stderr
    shorter = ("--users", "4", "--warmup", "1s", "--steady-state", "3s", "--plain", *CALM)
    done = installation.loadstone("run", "--config", "load.toml", *shorter)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: pass" in done.stdout
    (run,) = run_records(installation.work / "results")
    assert run["requests"] == counting_server.count().total > 0


def test_without_its_packages_the_demo_says_how_to_get_them(installation: Installation):
    (installation.work / "locustfile.py").unlink(missing_ok=True)
    done = installation.loadstone("run", "--plain")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the demo target needs Python packages that are not installed: fastapi, " in done.stderr
    assert "Install loadstone with the extra `demo`" in done.stderr


def test_with_them_it_is_trained_served_and_loaded(installation: Installation):
    installation.add("[demo]")
    (installation.work / "locustfile.py").unlink(missing_ok=True)
    shutil.rmtree(installation.work / "results", ignore_errors=True)
    done = installation.loadstone("run", "--users", "4", "--run-time", "4s", "--plain", *CALM)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = run_records(installation.work / "results")
    assert run["target"]["model"] == "diabetes"
    assert (installation.work.parent / "state" / "loadstone" / "demo" / "mlflow.db").exists()
