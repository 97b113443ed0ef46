"""Install one locked requirement set and the package itself into the environment of this interpreter.

Usage: ``python -I requirements/install.py run|dev``. A set that is already there, by the digest of its lock, costs
nothing. uv installs it, because it needs a quarter of pip's time; where uv cannot be had or fails, pip does.

Of the person's configuration of pip and uv only what says *how packages are reached* is kept (mirror, proxy,
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
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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


AS_UV = {
    "PIP_CERT": ("SSL_CERT_FILE",),
    "PIP_CLIENT_CERT": ("SSL_CLIENT_CERT",),
    "PIP_DEFAULT_TIMEOUT": ("UV_HTTP_TIMEOUT",),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX",),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX",),
    "PIP_KEYRING_PROVIDER": ("UV_KEYRING_PROVIDER",),
    "PIP_NO_CACHE_DIR": ("UV_NO_CACHE",),
    "PIP_NO_INDEX": ("UV_NO_INDEX",),
    "PIP_PROXY": ("HTTPS_PROXY", "HTTP_PROXY"),
    "PIP_RETRIES": ("UV_HTTP_RETRIES",),
    "PIP_TIMEOUT": ("UV_HTTP_TIMEOUT",),
    "PIP_TRUSTED_HOST": ("UV_INSECURE_HOST",),
}
"""What uv calls pip's transport options; pip's other ones have no counterpart."""
OF_UV = (
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
)
"""The transport options of uv itself; a mirror that they name takes the place of pip's."""


def transport_settings(listing: str) -> dict[str, str]:
    """Pick the transport options out of ``pip config list``, as environment variables; later lines win."""
    settings = {}
    for line in listing.splitlines():
        name, separator, quoted = line.partition("=")
        section, _, option = name.rpartition(".")
        if separator and option in TRANSPORT and section in {"global", "install", ":env:"}:
            settings["PIP_" + option.upper().replace("-", "_")] = str(ast.literal_eval(quoted))
    return settings


def transport() -> dict[str, str]:
    """How pip reaches packages, by its own configuration."""
    listing = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "config", "list"],
        env={key: value for key, value in os.environ.items() if key != "PIP_PYTHON"},
        capture_output=True,
        text=True,
        check=False,
    )
    return transport_settings(listing.stdout)


def pip_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment for pip: the person's own, its pip configuration reduced to the transport."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    clean |= {"PIP_DEFAULT_TIMEOUT": "60", "PIP_ROOT_USER_ACTION": "ignore", "PIP_QUIET": "1"}
    return clean | settings


def uv_environment(settings: dict[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for uv: ``own``, reduced to the transport, and that of pip where it says nothing."""
    clean = {key: value for key, value in own.items() if not key.startswith(("UV_", "PIP_")) or key in OF_UV}
    for option, value in settings.items():
        for variable in AS_UV.get(option, ()):
            # pip separates several by blanks, uv the folders of packages by commas.
            clean.setdefault(variable, ",".join(value.split()) if variable == "UV_FIND_LINKS" else value)
    # Hashes decide what is installed, so it may come from any index that has it, as with pip.
    return clean | {"UV_NO_CONFIG": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def locked(package: str, lock: Path) -> str:
    """Return the requirement of one package in a lock, with its hashes."""
    lines = iter(lock.read_text().splitlines())
    found = [next(line for line in lines if line.startswith(f"{package}=="))]
    while found[-1].endswith("\\"):
        found.append(next(lines))
    return "\n".join(found) + "\n"


def pip_install(*arguments: str, settings: dict[str, str]) -> bool:
    """Run ``pip install``; whether it succeeded. pip has said why if not."""
    command = [sys.executable, "-I", "-m", "pip", "install", *arguments]
    return subprocess.run(command, env=pip_environment(settings), cwd=ROOT, check=False).returncode == 0


def uv_install(*arguments: str, settings: dict[str, str]) -> bool:
    """Run ``uv pip install``, which is installed first if need be; whether it succeeded."""
    uv = Path(sys.prefix) / "bin" / "uv"
    if not uv.exists():
        with tempfile.TemporaryDirectory() as folder:
            only = Path(folder) / "uv.txt"
            only.write_text(locked("uv", ROOT / "requirements" / f"{SUPERSET}.txt"))
            # Where it cannot be had, pip says so again for the set itself.
            wanted = ("--require-hashes", "--no-deps", "--no-compile", "--only-binary", ":all:", "-r", str(only))
            if not pip_install(*wanted, settings=settings):
                return False
    command = [str(uv), "pip", "install", "--python", sys.executable, *arguments]
    if not sys.stderr.isatty():
        command.append("--quiet")  # without a terminal it lists what it has installed, and nothing meanwhile
    environment = uv_environment(settings, os.environ)
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode == 0


def install_with_any(*arguments: str, settings: dict[str, str]) -> None:
    """Install with uv, or else with pip, or end with what to do."""
    if uv_install(*arguments, settings=settings):
        return
    print("loadstone: uv could not install it, so pip tries; this takes a minute or two ...", flush=True)
    # Compiling all modules beforehand takes longer than all the rest (87 s instead of 39 s): the first import does.
    if not pip_install("--no-compile", *arguments, settings=settings):
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
    settings = transport()
    if not any(installed.get(lock) == locks[lock] for lock in locks):
        print(f"Installing requirements/{name}.txt (hash-checked; half a minute the first time) ...", flush=True)
        install_with_any("--require-hashes", "--no-deps", "-r", f"requirements/{name}.txt", settings=settings)
        installed = {name: locks[name]}  # whatever an earlier lock had put there may have been replaced
    if installed.get("project") != project:
        install_with_any("--no-deps", "--no-build-isolation", "--editable", ".", settings=settings)
        installed["project"] = project
    STATE.write_text(json.dumps(installed))


if __name__ == "__main__":
    install(sys.argv[1])
