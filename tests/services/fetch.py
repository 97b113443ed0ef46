"""Fetch the real servers of the tests into .cache/servers: Debian packages, unpacked and not installed.

Beside them axe-core, the accessibility checker of the browser tests, comes from npm.
Needs apt-get, dpkg and npm, no root, and changes nothing on the system. What is there and works is left alone.
Libraries
that the machine does not have are unpacked beside the programs, which are started through small wrappers in
.cache/servers/bin. Where the machine's own package lists are missing or too old, fresh ones are read from the
machine's own sources into .cache/servers/apt.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

SERVERS = Path(__file__).resolve().parents[2] / ".cache" / "servers"
TREE = SERVERS / "tree"
BIN = SERVERS / "bin"
PACKAGES = SERVERS / "packages"
AXE = SERVERS / "axe" / "package" / "axe.min.js"
AXE_PACKAGE = "axe-core@4.14.1"
TRIES = 3
PAUSE_S = 3.0
CHECK_TIMEOUT_S = 20
DOWNLOAD_TIMEOUT_S = 300
C_LIBRARY = "libc6"  # never unpacked beside the programs: a second one would not work

# The folders of the libraries are found from the wrapper's own place, so the cache may be moved.
WRAPPER = """#!/bin/sh
tree=$(dirname "$(readlink -f "$0")")/../tree
LD_LIBRARY_PATH="{folders}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" exec "$tree/{program}" "$@"
"""


class FetchError(Exception):
    """A server that could not be fetched, with the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One program: where it is in which packages, and what it answers to a question about its version."""

    name: str
    path: str
    packages: tuple[str, ...]
    question: str
    answer: str


PROGRAMS = (
    Program(
        name="redis-server",
        path="usr/bin/redis-server",
        packages=("redis-server", "redis-tools"),
        question="--version",
        answer="Redis server v=",
    ),
    Program(name="influxd", path="usr/bin/influxd", packages=("influxdb",), question="version", answer="InfluxDB v1."),
    Program(
        name="influx",
        path="usr/bin/influx",
        packages=("influxdb-client",),
        question="-version",
        answer="InfluxDB shell version",
    ),
    Program(name="nginx", path="usr/sbin/nginx", packages=("nginx",), question="-v", answer="nginx/"),
    Program(name="haproxy", path="usr/sbin/haproxy", packages=("haproxy",), question="-v", answer="HAProxy version"),
    Program(name="wrk", path="usr/bin/wrk", packages=("wrk",), question="-v", answer="Copyright"),
    Program(
        name="chromium",
        path="usr/lib/chromium/chromium",
        packages=("chromium", "chromium-common", "fonts-dejavu-core"),
        question="--version",
        answer="Chromium ",
    ),
)


@dataclass
class Apt:
    """apt-get and apt-cache, reading the machine's package lists, or fresh ones of our own after ``refresh()``."""

    options: list[str] = field(default_factory=list)

    def refresh(self) -> None:
        """Read fresh package lists from the machine's own sources; a source that fails only lacks its packages."""
        home = SERVERS / "apt"
        for folder in ("lists/partial", "cache/archives/partial"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::State": home,
            "Dir::State::lists": home / "lists",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": home / "cache",
            "Acquire::Languages": "none",
        }
        self.options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        print("Reading the machine's package sources ...", flush=True)
        self.run("apt-get", "update")

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command, patiently with the network; as root without changing to a user that cannot write here."""
        patience = ["-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30", "-o", "APT::Sandbox::User=root"]
        command = [program, "-q", *patience, *self.options, *arguments]
        try:
            return run(*command, timeout_s=DOWNLOAD_TIMEOUT_S, folder=PACKAGES)
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"{program} {arguments[0]} took more than {DOWNLOAD_TIMEOUT_S} s") from error

    def download(self, packages: list[str]) -> None:
        """Download packages into the cache; the lists are refreshed before the second try."""
        for attempt in range(1, TRIES + 1):
            done = self.run("apt-get", "download", *packages)
            if done.returncode == 0:
                return
            if not self.options:
                self.refresh()
            elif attempt < TRIES:
                time.sleep(PAUSE_S)
        last_words = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise FetchError(f"apt-get download {' '.join(packages)} failed {TRIES} times:\n{last_words}")

    def knows(self, package: str) -> bool:
        """Tell whether a package can be had."""
        return self.run("apt-cache", "show", package).returncode == 0


def run(*command: str, timeout_s: float, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said."""
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def works(program: Program) -> bool:
    """Tell whether a program is in the cache and answers."""
    wrapper = BIN / program.name
    if not wrapper.exists():
        return False
    try:
        done = run(str(wrapper), program.question, timeout_s=CHECK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return program.answer in done.stdout + done.stderr


def is_installed(package: str) -> bool:
    """Tell whether the machine has a package."""
    done = run("dpkg-query", "-W", "-f", "${Status}", package, timeout_s=CHECK_TIMEOUT_S)
    return "install ok installed" in done.stdout


def package_file(package: str) -> Path:
    """Return the newest downloaded file of a package."""
    files = sorted(PACKAGES.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FetchError(f"apt-get download {package} left no file")
    return files[-1]


def libraries_of(package: str, apt: Apt) -> list[str]:
    """Name the library packages that a downloaded package needs and the machine does not have."""
    done = run("dpkg-deb", "-f", str(package_file(package)), "Depends", timeout_s=CHECK_TIMEOUT_S)
    missing = []
    for need in done.stdout.split(","):
        names = [match[1] for choice in need.split("|") if (match := re.match(r"\s*([a-z0-9.+-]+)", choice))]
        if any(name == C_LIBRARY or not name.startswith("lib") or is_installed(name) for name in names):
            continue
        missing += [name for name in names if apt.knows(name)][:1]
    return missing


def fetch(program: Program, apt: Apt) -> None:
    """Download and unpack one program with the libraries it lacks, and write its wrapper."""
    print(f"Fetching {program.name} ...", flush=True)
    waiting, unpacked = list(program.packages), set[str]()
    while waiting:
        apt.download(waiting)
        for package in waiting:
            done = run("dpkg", "-x", str(package_file(package)), str(TREE), timeout_s=DOWNLOAD_TIMEOUT_S)
            if done.returncode:
                raise FetchError(f"dpkg -x {package} failed: {done.stderr.strip()}")
        unpacked.update(waiting)
        waiting = sorted({name for package in waiting for name in libraries_of(package, apt)} - unpacked)
    write_wrapper(program)
    if not works(program):
        raise FetchError(f"{program.name} was fetched and does not run; see {BIN / program.name}")


def write_wrapper(program: Program) -> None:
    """Write the script that starts a program with the libraries beside it."""
    folders = sorted({str(path.parent.relative_to(TREE)) for path in TREE.rglob("*.so*")})
    text = WRAPPER.format(program=program.path, folders=":".join(f"$tree/{folder}" for folder in folders))
    BIN.mkdir(parents=True, exist_ok=True)
    (BIN / program.name).write_text(text)
    (BIN / program.name).chmod(0o755)


def fetch_axe() -> None:
    """Download and unpack axe-core, which is not installed and runs in pages only."""
    print(f"Fetching {AXE_PACKAGE} ...", flush=True)
    home = AXE.parents[1]
    home.mkdir(parents=True, exist_ok=True)
    try:
        done = run("npm", "pack", "--silent", "--cache", str(home / "cache"), AXE_PACKAGE, timeout_s=300, folder=home)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"npm pack {AXE_PACKAGE}: {error}") from error
    archives = sorted(home.glob("axe-core-*.tgz"))
    if done.returncode or not archives:
        raise FetchError(f"npm pack {AXE_PACKAGE} failed: {done.stderr.strip()[-300:]}")
    shutil.unpack_archive(archives[-1], home)


def main() -> int:
    """Fetch what is missing; return 1 when something could not be had."""
    failed = fetch_programs()
    if not AXE.is_file():
        try:
            fetch_axe()
        except FetchError as error:
            print(f"Could not fetch axe-core: {error}", file=sys.stderr)
            failed = 1
    return failed


def fetch_programs() -> int:
    """Fetch the programs that are missing; return 1 when one could not be had."""
    missing = [program for program in PROGRAMS if not works(program)]
    if not missing:
        return 0
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            names = ", ".join(program.name for program in missing)
            print(f"The test servers ({names}) come from Debian packages, and {tool} is not here.", file=sys.stderr)
            return 1
    PACKAGES.mkdir(parents=True, exist_ok=True)
    apt, failed = Apt(), 0
    for program in missing:
        try:
            fetch(program, apt)
        except FetchError as error:
            print(f"Could not fetch {program.name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
