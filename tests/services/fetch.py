"""Fetch the real servers of the tests into .cache/servers: Debian packages, unpacked and not installed.

Beside them two things for pages come from npm: axe-core, the accessibility checker, and Grafana's libraries, with which
the harness of the boards (tests/browser/grafana/harness) is bundled into .cache/servers/grafana/page.
Needs apt-get, dpkg and npm, no root, and changes nothing on the system. What is there and works is left alone.
Libraries that the machine does not have are unpacked beside the programs, which are started through small wrappers in
.cache/servers/bin. Where the machine's own package lists are missing or too old, fresh ones are read from the
machine's own sources into .cache/servers/apt.
"""

from __future__ import annotations

import hashlib
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
HARNESS = Path(__file__).resolve().parents[1] / "browser" / "grafana" / "harness"
GRAFANA = SERVERS / "grafana"
HARNESS_PAGE = GRAFANA / "page"
BUNDLE = ("src/main.jsx", "--bundle", "--minify", "--jsx=automatic", "--outfile=page/harness.js",
          '--define:process.env.NODE_ENV="production"', "--loader:.ttf=empty")  # fmt: skip
PUBLIC = {
    "@grafana/ui/dist/public/img/icons": "build/img/icons",
    "@fontsource/inter/files/inter-latin-400-normal.woff2": "fonts/inter/Inter-Regular.woff2",
    "@fontsource/inter/files/inter-latin-400-italic.woff2": "fonts/inter/Inter-Italic.woff2",
    "@fontsource/inter/files/inter-latin-500-normal.woff2": "fonts/inter/Inter-Medium.woff2",
    "@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2": "fonts/roboto/"
    "L0xTDF4xlVMF-BfR8bXMIhJHg45mwgGEFl0_3vrtSM1J-gEPT5Ese6hmHSh0mQ.woff2",
}
"""Files of packages that Grafana's components load by name, and their places below the page's folder ``public``."""
TRIES = 3
PAUSE_S = 3.0
CHECK_TIMEOUT_S = 20
DOWNLOAD_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 900
"""Of one try to install Grafana's libraries, some hundred packages."""
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


def digest_of(*paths: Path, options: tuple[str, ...] = ()) -> str:
    """Tell whether files or options have changed: one digest of the options, and of the files' names and contents."""
    digest = hashlib.sha256("\0".join(options).encode())
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def harness_is_built() -> bool:
    """Tell whether the harness of the boards in the cache was made of the present files."""
    stamp = HARNESS_PAGE / "made-of"
    return stamp.is_file() and stamp.read_text() == harness_digest()


def harness_digest() -> str:
    """Return one digest of all that the harness is made of."""
    return digest_of(*harness_files(), options=BUNDLE)


def harness_files() -> list[Path]:
    """Return the files that the harness is made of."""
    return [HARNESS / "package.json", HARNESS / "package-lock.json", *sorted((HARNESS / "src").iterdir())]


def build_harness() -> None:
    """Install Grafana's libraries into the cache, where their lock has changed, and bundle the harness with them."""
    if shutil.which("npm") is None:
        raise FetchError("npm, which comes with Node.js, is not here")
    lock, installed = HARNESS / "package-lock.json", GRAFANA / "node_modules" / ".lock-digest"
    GRAFANA.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(GRAFANA / "src", ignore_errors=True)
    shutil.copytree(HARNESS, GRAFANA, dirs_exist_ok=True)
    if not installed.is_file() or installed.read_text() != digest_of(lock):
        print("Fetching Grafana's libraries ...", flush=True)
        cache = GRAFANA / "cache"
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        patiently("npm", "ci", *quiet, "--cache", str(cache))
        shutil.rmtree(cache, ignore_errors=True)
        installed.write_text(digest_of(lock))
    shutil.rmtree(HARNESS_PAGE, ignore_errors=True)
    node("node_modules/.bin/esbuild", *BUNDLE)
    shutil.copyfile(GRAFANA / "src" / "page.html", HARNESS_PAGE / "index.html")
    for source, place in PUBLIC.items():
        found, target = GRAFANA / "node_modules" / source, HARNESS_PAGE / "public" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(found, target) if found.is_dir() else shutil.copyfile(found, target)
    (HARNESS_PAGE / "made-of").write_text(harness_digest())


def patiently(*command: str) -> None:
    """Run a program of Node.js that downloads, up to three times."""
    for attempt in range(1, TRIES + 1):
        try:
            node(*command, timeout_s=INSTALL_TIMEOUT_S)
        except FetchError:
            if attempt == TRIES:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def node(*command: str, timeout_s: float = DOWNLOAD_TIMEOUT_S) -> None:
    """Run a program of Node.js in the folder of Grafana's libraries; FetchError with its last words if it fails."""
    try:
        done = run(*command, timeout_s=timeout_s, folder=GRAFANA)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{' '.join(command[:2])}: {error}") from error
    if done.returncode:
        raise FetchError(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-600:]}")


def main() -> int:
    """Fetch what is missing; return 1 when something could not be had."""
    failed = fetch_programs()
    pages = (("axe-core", AXE.is_file, fetch_axe), ("the harness of the boards", harness_is_built, build_harness))
    for name, is_there, make in pages:
        try:
            if not is_there():
                make()
        except FetchError as error:
            print(f"Could not fetch {name}: {error}", file=sys.stderr)
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
