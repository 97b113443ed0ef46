"""What the repository promises about itself: locks that agree, no addresses, a reason for each dependency."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SETS = {
    "worker": ["worker"],
    "collector": ["collector"],
    "cli": ["cli"],
    "serve": ["serve"],
    "target": ["target"],
    "registry": ["registry"],
    "run": ["run", "target", "build"],
    "dev": ["dev"],
}
NOT_FOR_WORKERS = {
    "fastapi",
    "influxdb-client",
    "mlflow",
    "mlflow-skinny",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "uvicorn",
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")

# Written in pieces, so that this file itself passes.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "deb.debian" + ".org",
    "security.debian" + ".org",
    "archive.ubuntu" + ".com",
    "registry.npmjs" + ".org",
    "static.crates" + ".io",
    "proxy.golang" + ".org",
    "repo.maven.apache" + ".org",
]
OMITTED = "omit-lockfile-registry-resolved=true"
MACHINE_PATHS = re.compile(r"(?<![\w.$}:/-])/" + r"(?:root|work(?!er)|Users|home/(?!app\b|locust\b|loadstone\b))[/\w]")


def tracked_files() -> list[Path]:
    """List the files under version control, and those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    """Read every tracked text file, by its name; files of the fuzzing corpus may hold anything."""
    found = {}
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data:
            found[str(path.relative_to(ROOT))] = data.decode("utf-8", "replace" if "corpus" in path.parts else "strict")
    return found


def registry_hosts(text: str) -> list[str]:
    """Find addresses of package registries in a text."""
    return [host for host in REGISTRIES if host in text]


def lock_entries(name: str) -> dict[str, str]:
    """Read a lock: each package with its pinned version."""
    entries = {}
    for block in lock_blocks((ROOT / "requirements" / f"{name}.txt").read_text()):
        requirement = Requirement(block.partition("\\")[0].strip())
        entries[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return entries


def lock_blocks(text: str) -> list[str]:
    """Split a lock into its entries: a line that starts with a name, and the hashes below it."""
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    blocks: list[str] = []
    for line in lines:
        if line.startswith(" "):
            blocks[-1] += "\n" + line
        else:
            blocks.append(line)
    return blocks


def pyproject() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements_of(groups: list[str]) -> list[Requirement]:
    """Return the requirements of dependency groups, and of the groups that they include."""
    found = []
    for group in groups:
        for entry in pyproject()["dependency-groups"][group]:
            found += [Requirement(entry)] if isinstance(entry, str) else requirements_of([entry["include-group"]])
    return found


def test_no_tracked_file_names_a_registry():
    assert {name: hosts for name, text in texts().items() if (hosts := registry_hosts(text))} == {}


def test_no_tracked_file_names_a_path_of_somebodys_machine():
    assert {name: found[0] for name, text in texts().items() if (found := MACHINE_PATHS.search(text))} == {}


def test_a_registry_and_a_machine_path_would_be_found():
    assert registry_hosts("--index-url https://" + "pypi" + ".org/simple")
    assert MACHINE_PATHS.search("see /" + "root/project")
    assert MACHINE_PATHS.search('"/' + 'home/jane/loadstone"')
    assert not MACHINE_PATHS.search("framework/home/x, https://host/" + "work/x, /" + "home/locust/run")


@pytest.mark.parametrize("name", SETS)
def test_every_entry_of_a_lock_is_pinned_and_hashed(name: str):
    blocks = lock_blocks((ROOT / "requirements" / f"{name}.txt").read_text())
    assert len(blocks) > 5
    assert [block for block in blocks if not (re.match(r"[\w.-]+==[\w.]+", block) and HASH.search(block))] == []


def test_no_lock_of_npm_holds_an_address():
    locks = {name: text for name, text in texts().items() if name.endswith("package-lock.json")}
    assert locks
    assert [name for name, text in locks.items() if '"resolved"' in text] == []
    assert [name for name in locks if OMITTED not in texts().get(str(Path(name).parent / ".npmrc"), "")] == []


def test_all_speak_of_the_same_version_of_grafana():
    harness = json.loads((ROOT / "tests" / "browser" / "grafana" / "harness" / "package.json").read_text())
    libraries = {name: version for name, version in harness["dependencies"].items() if name.startswith("@grafana/")}
    (image,) = re.findall(r"image: grafana/grafana:(\S+)", (ROOT / "docker-compose.yaml").read_text())
    (told,) = re.findall(r"`@grafana/ui` (\S+)\)", (ROOT / "dashboards" / "boards" / "generate.py").read_text())
    assert "@grafana/ui" in libraries
    assert {*libraries.values(), told} == {image}


@pytest.mark.parametrize("name", SETS)
def test_a_lock_holds_no_address(name: str):
    assert "//" not in (ROOT / "requirements" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", SETS)
def test_a_lock_satisfies_its_groups(name: str):
    entries = lock_entries(name)
    wanted = requirements_of(SETS[name])
    missing = [str(need) for need in wanted if canonicalize_name(need.name) not in entries]
    wrong = [
        str(need) for need in wanted if not need.specifier.contains(entries.get(canonicalize_name(need.name), "0"))
    ]
    assert (missing, wrong) == ([], []), "run `make lock`"


@pytest.mark.parametrize("name", [name for name in SETS if name != "dev"])
def test_the_locks_agree_with_each_other(name: str):
    assert lock_entries(name).items() <= lock_entries("dev").items()


def test_a_worker_carries_no_heavy_package():
    assert set(lock_entries("worker")) & NOT_FOR_WORKERS == set()


def test_what_pip_installs_is_what_is_tested():
    project = pyproject()["project"]
    for texts, group in ((project["dependencies"], "run"), (project["optional-dependencies"]["demo"], "target")):
        assert set(map(Requirement, texts)) == set(requirements_of([group]))


def test_each_dependency_has_its_reason():
    named = {requirement.name for requirement in requirements_of(list(pyproject()["dependency-groups"]))}
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    assert sorted(name for name in named if not re.search(rf"^\| {re.escape(name)} \|", page, re.MULTILINE)) == []


def test_each_make_target_is_documented():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE)) - {"FORCE"}
    documented = set(re.findall(r"^([a-z-]+):.*?## \S", makefile, re.MULTILINE))
    assert phony == documented


def test_the_licence_is_apache_2_in_full():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert pyproject()["project"]["license"] == "Apache-2.0"


def test_a_misspelling_would_be_found(tmp_path: Path):
    (tmp_path / "page.md").write_text("You will rec" + "ieve a catalogue.\n")
    command = [sys.executable, "-m", "codespell_lib", "--toml", ROOT / "pyproject.toml", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.endswith("page.md:1: rec" + "ieve ==> receive\n")
