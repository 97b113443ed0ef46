"""Install one locked requirement set and the package itself into the environment of this interpreter.

Usage: ``python -I requirements/install.py run|dev``. A set that is already there, by the digest of its lock, costs
nothing. Of the person's pip configuration only what says *how packages are reached* is kept (mirror, proxy,
certificates); anything that would change *what is installed and where* (``user``, ``target``, ``constraint``, ...)
is left out, so it cannot break the installation.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = Path(sys.prefix) / "loadstone-installed.json"
SUPERSET = "dev"  # every other set is a part of it, version for version (tests/repository/test_repository.py)
TRANSPORT = (
    "cache-dir",
    "cert",
    "client-cert",
    "default-timeout",
    "extra-index-url",
    "find-links",
    "index-url",
    "keyring-provider",
    "no-cache-dir",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)


def transport_settings(listing: str) -> dict[str, str]:
    """Pick the transport options out of ``pip config list``, as environment variables; later lines win."""
    settings = {}
    for line in listing.splitlines():
        name, separator, quoted = line.partition("=")
        section, _, option = name.rpartition(".")
        if separator and option in TRANSPORT and section in {"global", "install", ":env:"}:
            settings["PIP_" + option.upper().replace("-", "_")] = str(ast.literal_eval(quoted))
    return settings


def pip_environment() -> dict[str, str]:
    """Return the environment for pip: the person's own, its pip configuration reduced to the transport."""
    listing = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "config", "list"],
        env={key: value for key, value in os.environ.items() if key != "PIP_PYTHON"},
        capture_output=True,
        text=True,
        check=False,
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    clean |= {"PIP_DEFAULT_TIMEOUT": "60", "PIP_ROOT_USER_ACTION": "ignore", "PIP_QUIET": "1"}
    return clean | transport_settings(listing.stdout)


def pip_install(*arguments: str) -> None:
    """Run ``pip install``; pip has said why when it fails."""
    command = [sys.executable, "-I", "-m", "pip", "install", *arguments]
    if subprocess.run(command, env=pip_environment(), cwd=ROOT, check=False).returncode:
        sys.exit(
            "loadstone: the installation failed, the reason is above. It needs a package index: check the network, "
            "or set PIP_INDEX_URL to a mirror, and run make again; what is installed already is kept.",
        )


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def install(name: str) -> None:
    """Install what is not there yet of the set ``name`` and of the package."""
    installed = json.loads(STATE.read_text()) if STATE.exists() else {}
    locks = {lock: digest(ROOT / "requirements" / f"{lock}.txt") for lock in (name, SUPERSET)}
    project = digest(ROOT / "pyproject.toml")
    if not any(installed.get(lock) == locks[lock] for lock in locks):
        print(f"Installing requirements/{name}.txt (hash-checked; a minute or two the first time) ...", flush=True)
        # Compiling all modules beforehand takes longer than all the rest (87 s instead of 39 s): the first import does.
        pip_install("--require-hashes", "--no-deps", "--no-compile", "-r", f"requirements/{name}.txt")
        installed = {name: locks[name]}  # whatever an earlier lock had put there may have been replaced
    if installed.get("project") != project:
        pip_install("--no-deps", "--no-build-isolation", "--editable", ".")
        installed["project"] = project
    STATE.write_text(json.dumps(installed))


if __name__ == "__main__":
    install(sys.argv[1])
