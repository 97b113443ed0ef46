"""Install one locked requirement set and the package itself into the environment of this interpreter.

Usage: ``python -I requirements/install.py run|dev``. A set that is already there, by the digest of its lock, costs
nothing. uv installs it, because it needs a fraction of pip's time; where uv cannot be had or fails, pip does.

Of the person's pip configuration only what says *how packages are reached* is kept, for uv too (mirror, proxy,
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
from math import ceil
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


FAILED = (
    "loadstone: the installation failed, the reason is above. It needs a package index: check the network, "
    "or set PIP_INDEX_URL to a mirror, and run make again; what is installed already is kept."
)
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where pip looks for certificates, if its configuration names none."""
AS_UV = {
    "PIP_CERT": ("SSL_CERT_FILE",),
    "PIP_CLIENT_CERT": ("SSL_CLIENT_CERT",),
    "PIP_DEFAULT_TIMEOUT": ("UV_HTTP_TIMEOUT",),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX",),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX",),
    "PIP_NO_CACHE_DIR": ("UV_NO_CACHE",),
    "PIP_NO_INDEX": ("UV_NO_INDEX",),
    "PIP_PROXY": ("HTTPS_PROXY", "HTTP_PROXY"),
    "PIP_RETRIES": ("UV_HTTP_RETRIES",),
    "PIP_TIMEOUT": ("UV_HTTP_TIMEOUT",),
    "PIP_TRUSTED_HOST": ("UV_INSECURE_HOST",),
}
"""What uv calls pip's transport options; those that need more than a new name are in `uv_environment`."""


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
    """Return the environment for uv: ``own`` without what pip and uv read, and pip's transport in uv's words."""
    clean = {key: value for key, value in own.items() if not key.startswith(("UV_", "PIP_"))}
    # Hashes decide what is installed, so it may come from any index that has it, as with pip.
    clean |= {"UV_NO_CONFIG": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if bundle := next((own[name] for name in BUNDLES if own.get(name)), None):
        clean["SSL_CERT_FILE"] = bundle
    for option, value in settings.items():
        clean |= dict.fromkeys(AS_UV.get(option, ()), value)
    if "SSL_CERT_FILE" not in clean:
        clean["UV_SYSTEM_CERTS"] = "1"  # uv brings certificates of its own, which no company's proxy is among
    if "UV_FIND_LINKS" in clean:
        clean["UV_FIND_LINKS"] = ",".join(clean["UV_FIND_LINKS"].split())
    if "UV_HTTP_TIMEOUT" in clean:
        clean["UV_HTTP_TIMEOUT"] = str(ceil(float(clean["UV_HTTP_TIMEOUT"])))
    if settings.get("PIP_KEYRING_PROVIDER") == "subprocess":
        clean["UV_KEYRING_PROVIDER"] = "subprocess"  # the only one of pip's that uv has
    if "PIP_CACHE_DIR" in settings:
        clean["UV_CACHE_DIR"] = str(Path(settings["PIP_CACHE_DIR"]) / "uv")
    elif "UV_CACHE_DIR" in own:
        clean["UV_CACHE_DIR"] = own["UV_CACHE_DIR"]
    return clean


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
            wanted = ("--require-hashes", "--no-deps", "--no-compile", "--only-binary", ":all:", "-r", str(only))
            if not pip_install(*wanted, settings=settings):
                return False
    command = [str(uv), "pip", "install", "--python", sys.executable, *arguments]
    if not sys.stderr.isatty():
        command.append("--quiet")  # without a terminal it lists what it has installed, and nothing meanwhile
    environment = uv_environment(settings, os.environ)
    try:
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode == 0
    except OSError as error:  # half of a file, or one that may not be run
        print(f"loadstone: {uv}: {error.strerror}", file=sys.stderr)
        return False


def install_set(name: str, settings: dict[str, str]) -> bool:
    """Install a locked set with uv, or else with pip; whether it succeeded."""
    wanted = ("--require-hashes", "--no-deps", "-r", f"requirements/{name}.txt")
    if uv_install(*wanted, settings=settings):
        return True
    print("loadstone: uv could not install it, so pip tries; this takes a minute or two ...", flush=True)
    # Compiling all modules beforehand takes longer than all the rest (87 s instead of 39 s): the first import does.
    return pip_install("--no-compile", *wanted, settings=settings)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def install(name: str) -> None:
    """Install what is not there yet of the set ``name`` and of the package."""
    installed = json.loads(STATE.read_text()) if STATE.exists() else {}
    locks = {lock: digest(ROOT / "requirements" / f"{lock}.txt") for lock in (name, SUPERSET)}
    project = digest(ROOT / "pyproject.toml")
    has_set = any(installed.get(lock) == locks[lock] for lock in locks)
    if has_set and installed.get("project") == project:
        return
    settings = transport()
    if not has_set:
        print(f"Installing requirements/{name}.txt (hash-checked; half a minute the first time) ...", flush=True)
        if not install_set(name, settings):
            sys.exit(FAILED)
        installed = {name: locks[name]}  # whatever an earlier lock had put there may have been replaced
    if installed.get("project") != project:
        # Needs no network, so pip, which is there, is as good.
        if not pip_install("--no-deps", "--no-build-isolation", "--editable", ".", settings=settings):
            sys.exit(FAILED)
        installed["project"] = project
    STATE.write_text(json.dumps(installed))


if __name__ == "__main__":
    install(sys.argv[1])
