"""What `make` does on a machine that lacks something: one clear sentence each, and nothing half done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


def make_venv(folder: Path, python_body: str) -> subprocess.CompletedProcess[str]:
    """Run make-venv.sh with a stand-in for Python that behaves as the shell text says."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{python_body}\n")
    python.chmod(0o755)
    command = ["sh", ROOT / "requirements" / "make-venv.sh", folder / "venv"]
    return subprocess.run(command, env={"PYTHON": str(python), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path: Path):
    body = 'case "$*" in *print*) echo 3.9.2;; *) exit 1;; esac'
    done = make_venv(tmp_path, body)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "python is 3.9.2" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_without_the_venv_module_says_what_to_install(tmp_path: Path):
    body = f'case "$*" in *ensurepip*) exit 1;; *) exec {sys.executable} "$@";; esac'
    done = make_venv(tmp_path, body)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_only_the_transport_of_a_pip_configuration_is_kept():
    listing = """
global.index-url='https://mirror.example/simple'
global.user='true'
install.target='/somewhere'
install.constraint='c.txt'
freeze.timeout='1'
:env:.cert='/ca.pem'
WARNING: something odd
"""
    expected = {"PIP_INDEX_URL": "https://mirror.example/simple", "PIP_CERT": "/ca.pem"}
    assert load_script("requirements/install.py").transport_settings(listing) == expected


def test_uv_reaches_packages_as_pip_does():
    pip = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_FIND_LINKS": "/wheels https://wheels.example/",
        "PIP_CERT": "/ca.pem",
        "PIP_PROXY": "http://proxy.example:3128",
        "PIP_TIMEOUT": "9.5",
        "PIP_KEYRING_PROVIDER": "import",
        "PIP_CACHE_DIR": "/scratch",
    }
    own = {"LANG": "C", "UV_CONSTRAINT": "c.txt", "PIP_TARGET": "/x", "HTTPS_PROXY": "http://other.example"}
    assert load_script("requirements/install.py").uv_environment(pip, own) == {
        "LANG": "C",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_FIND_LINKS": "/wheels,https://wheels.example/",
        "SSL_CERT_FILE": "/ca.pem",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
        "UV_HTTP_TIMEOUT": "10",
        "UV_CACHE_DIR": "/scratch/uv",
        "UV_NO_CONFIG": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


@pytest.mark.parametrize(
    ("own", "certificates"),
    [
        ({}, {"UV_SYSTEM_CERTS": "1"}),
        ({"REQUESTS_CA_BUNDLE": "/company.pem"}, {"SSL_CERT_FILE": "/company.pem"}),
    ],
)
def test_uv_trusts_whom_pip_trusts(own: dict[str, str], certificates: dict[str, str]):
    found = load_script("requirements/install.py").uv_environment({}, own)
    assert {key: value for key, value in found.items() if key in {"UV_SYSTEM_CERTS", "SSL_CERT_FILE"}} == certificates


def test_uv_is_installed_from_the_lock_with_its_hashes_alone(tmp_path: Path):
    lock = tmp_path / "dev.txt"
    hashes = "    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    lock.write_text(f"urllib3==2.6.1 \\\n{hashes}uv==0.9.1 \\\n{hashes}    # via loadstone\nuvicorn==0.1 \\\n{hashes}")
    assert load_script("requirements/install.py").locked("uv", lock) == f"uv==0.9.1 \\\n{hashes}"
    requirement, *found = (
        load_script("requirements/install.py").locked("uv", ROOT / "requirements" / "dev.txt").splitlines()
    )
    assert requirement.startswith("uv==")
    assert found
    assert all(line.lstrip().startswith("--hash=sha256:") for line in found)


@pytest.mark.parametrize("uv_starts", [True, False])
def test_pip_installs_what_uv_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uv_starts: bool):
    install = load_script("requirements/install.py")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\nexit 2\n" if uv_starts else "half of a program")
    uv.chmod(0o755)
    by_pip: list[tuple[str, ...]] = []

    def pip_install(*arguments: str, settings: dict[str, str]) -> bool:
        by_pip.append(arguments)
        return True

    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(install, "pip_install", pip_install)
    assert install.install_set("run", {})
    assert by_pip == [("--no-compile", "--require-hashes", "--no-deps", "-r", "requirements/run.txt")]


def test_pip_is_left_alone_where_uv_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install = load_script("requirements/install.py")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    uv.chmod(0o755)
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(install, "pip_install", None)
    assert install.install_set("run", {})
    assert "--require-hashes --no-deps -r requirements/run.txt" in (tmp_path / "said").read_text()


def test_without_apt_the_fetcher_says_so(tmp_path: Path):
    script = tmp_path / "tests" / "services" / "fetch.py"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "services" / "fetch.py", script)
    harness = Path("tests") / "browser" / "grafana" / "harness"
    shutil.copytree(ROOT / harness, tmp_path / harness)
    done = subprocess.run([sys.executable, script], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "apt-get is not here" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 3, "one line for the packages, two for what comes with npm"
    assert not [path for path in (tmp_path / ".cache").rglob("*") if path.is_file()]


def test_the_harness_of_the_boards_is_built_again_when_one_of_its_files_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fetch = load_script("tests/services/fetch.py")
    monkeypatch.setattr(fetch, "HARNESS", tmp_path / "harness")
    monkeypatch.setattr(fetch, "HARNESS_PAGE", tmp_path / "page")
    source = tmp_path / "harness" / "src" / "main.jsx"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    (tmp_path / "harness" / "package-lock.json").write_text("{}")
    (tmp_path / "harness" / "package.json").write_text("{}")
    assert not fetch.harness_is_built()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "made-of").write_text(fetch.harness_digest())
    assert fetch.harness_is_built()
    for changed in (source, tmp_path / "harness" / "package.json"):
        before = changed.read_text()
        changed.write_text("two")
        assert not fetch.harness_is_built()
        changed.write_text(before)
    assert fetch.harness_is_built()
    monkeypatch.setattr(fetch, "BUNDLE", (*fetch.BUNDLE, "--sourcemap"))
    assert not fetch.harness_is_built()


@pytest.mark.parametrize("fails", [2, 3])
def test_grafanas_libraries_are_tried_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int):
    fetch = load_script("tests/services/fetch.py")
    asked: list[float] = []
    pauses: list[float] = []

    def refuse(*command: str, timeout_s: float, folder: Path) -> subprocess.CompletedProcess[str]:
        asked.append(timeout_s)
        if len(asked) == 1:
            raise subprocess.TimeoutExpired(command, timeout_s)
        return subprocess.CompletedProcess(command, int(len(asked) <= fails), "", "npm error network")

    monkeypatch.setattr(fetch, "run", refuse)
    monkeypatch.setattr(fetch, "GRAFANA", tmp_path)
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    if fails < fetch.TRIES:
        fetch.patiently("npm", "ci")
    else:
        with pytest.raises(fetch.FetchError, match="npm ci failed: npm error network"):
            fetch.patiently("npm", "ci")
    assert asked == [900] * 3
    assert pauses == [fetch.PAUSE_S] * 2


def test_a_package_that_cannot_be_had_is_tried_again_with_fresh_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fetch = load_script("tests/services/fetch.py")
    asked: list[tuple[str, ...]] = []

    def refuse(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 100, "", "E: Unable to locate package wrk\n")

    monkeypatch.setattr(fetch, "run", refuse)
    monkeypatch.setattr(fetch, "SERVERS", tmp_path)
    monkeypatch.setattr(fetch, "PAUSE_S", 0)
    with pytest.raises(fetch.FetchError, match="failed 3 times:\nE: Unable to locate package wrk"):
        fetch.Apt().download(["wrk"])
    assert [next(word for word in command if word in {"update", "download"}) for command in asked] == [
        "download",
        "update",
        "download",
        "download",
    ]
