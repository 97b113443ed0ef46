"""A Docker Engine for the stack's tests: the machine's own, or one from Debian's packages that ends with the tests.

Installing needs root, Debian and somebody who asks for it: CI=true or LOADSTONE_REQUIRE_SERVICES=1. A machine whose
engine reaches a registry uses the official images. Elsewhere programs from Debian's packages stand in for them: they
lie in tests/stack/standins, and what cannot stand in is named by `LEFT_OUT`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from support.processes import wait_until
from support.require import services_are_required

__all__ = ["LEFT_OUT", "DockerEngine", "EngineMissingError"]

ROOT: Final = Path(__file__).resolve().parents[2]
STANDINS: Final = ROOT / "tests" / "stack" / "standins"
CACHE: Final = ROOT / ".cache" / "stack"
RUN: Final = CACHE / "run"
DATA: Final = CACHE / "engine"
LOG: Final = CACHE / "dockerd.log"
LEFT_OUT: Final = ("grafana", "cadvisor", "s3", "InfluxDB 2's own set-up (1.6.7 stands in, influx-init is replaced)")
PACKAGES: Final = ("docker.io", "debootstrap", "iptables", "tini", "iproute2", "ca-certificates")
PLUGINS: Final = ("docker-compose", "docker-buildx")
PLUGINS_FROM: Final = "trixie"  # bookworm has no Compose 2
INSTALL_TIMEOUT_S: Final = 1200
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 60
"""Longer than the engine waits for its containers."""
PULL_TIMEOUT_S: Final = 300
BASE_IMAGE: Final = "loadstone-standin/debian"


class EngineMissingError(RuntimeError):
    """There is no engine and none may be installed; the reason says what to do."""


class DockerEngine:
    """The engine, its command line, and whether it can pull. Use it as a context."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "DOCKER_BUILDKIT": "1", "COMPOSE_PROGRESS": "plain", "NO_COLOR": "1"}
        self.docker_program = shutil.which("docker") or "/usr/bin/docker"
        self.has_registry = False
        self._daemon: subprocess.Popen[bytes] | None = None
        self._links: set[str] = set()

    def __enter__(self) -> Self:
        try:
            if not self._answers():
                self._install()
                self._start()
            self.has_registry = self._pulls()
            if not self.has_registry:
                self._build_standins()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def socket(self) -> Path:
        """The engine's socket."""
        return Path(self.environment.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))

    def docker(self, *arguments: str, timeout_s: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one docker command; what it said and how it ended are in the answer."""
        command = [self.docker_program, *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, **options
        )

    def must(self, *arguments: str, timeout_s: float = 120, **options: Any) -> str:
        """Run one docker command that has to succeed; its standard output."""
        done = self.docker(*arguments, timeout_s=timeout_s, **options)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    def restart(self) -> None:
        """Stop the engine with all containers and start it again; one that is not ours is left alone."""
        if self._daemon is not None:
            self._stop()
            self._launch()

    def close(self) -> None:
        """Stop the engine if it is ours, and remove its images, volumes, bridges and packet rules."""
        if self._daemon is None:
            return
        self._stop()
        for folder in (DATA, RUN):
            shutil.rmtree(folder, ignore_errors=True)
        for link in _links() - self._links:
            _quiet("ip", "link", "delete", link)
        for table in ("nat", "filter"):
            _remove_rules(table)

    def _answers(self) -> bool:
        try:
            return self.docker("compose", "version").returncode == 0 and self.docker("info").returncode == 0
        except OSError:
            return False

    def _install(self) -> None:
        reason = "there is no Docker Engine with Compose 2 here"
        if not (services_are_required() or os.environ.get("CI") == "true"):
            raise EngineMissingError(f"{reason}; CI=true installs both from Debian's packages for the tests")
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise EngineMissingError(f"{reason}, and only root on Debian can install it from packages")
        missing = [name for name in PACKAGES if not _is_installed(name)]
        if missing:
            _say(f"installing {' '.join(missing)} ...")
            _run("apt-get", "update", "-q")
            _run("apt-get", "install", "-yq", "--no-install-recommends", *missing)
        self.docker_program = "/usr/bin/docker"
        self.environment["DOCKER_CONFIG"] = str(CACHE / "config")
        _install_plugins(CACHE / "config" / "cli-plugins")

    def _start(self) -> None:
        """An engine with folders, socket and containers of its own."""
        self._links = _links()
        for folder in (RUN, DATA):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        LOG.unlink(missing_ok=True)
        self.environment["DOCKER_HOST"] = f"unix://{RUN}/docker.sock"
        self._launch()

    def _launch(self) -> None:
        command = ["dockerd", "--data-root", DATA, "--exec-root", RUN / "exec", "--pidfile", RUN / "pid"]
        _say("starting a Docker Engine ...")
        with LOG.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*map(str, command), "-H", self.environment["DOCKER_HOST"]],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self._answers, f"dockerd answers, see {LOG}", timeout_s=START_TIMEOUT_S)

    def _stop(self) -> None:
        assert self._daemon is not None
        self._daemon.terminate()
        self._daemon.wait(STOP_TIMEOUT_S)
        self._daemon = None

    def _pulls(self) -> bool:
        image = re.search(r"image: (redis:\S+)", (ROOT / "docker-compose.yaml").read_text())
        assert image is not None
        try:
            return self.docker("pull", "-q", image[1], timeout_s=PULL_TIMEOUT_S).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _build_standins(self) -> None:
        _say("no registry: stand-ins are built from Debian's packages. Left out: " + ", ".join(LEFT_OUT))
        if self.docker("image", "inspect", BASE_IMAGE).returncode != 0:
            with _base_archive().open("rb") as archive:
                self.must("import", "-", BASE_IMAGE, stdin=archive, timeout_s=INSTALL_TIMEOUT_S)
        context = CACHE / "standins"
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(STANDINS, context)
        (context / "pip.conf").write_text(_pip_configuration())
        for target in ("python", "servers"):
            name = f"loadstone-standin/{target}"
            self.must("build", "-q", "--target", target, "-t", name, str(context), timeout_s=INSTALL_TIMEOUT_S)


def _install_plugins(folder: Path) -> None:
    """Compose and Buildx, unpacked from the packages of a newer Debian into a folder of ours."""
    if all((folder / name).exists() for name in PLUGINS):
        return
    apt = CACHE / "apt"
    for name in ("lists/partial", "archives/partial", "sources", "unpacked"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    for source in _apt_sources():
        newer = re.sub(_codename(), PLUGINS_FROM, source.read_text())
        (apt / "sources" / source.name).write_text(newer)
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": apt / "sources",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "APT::Sandbox::User": "root",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    _say(f"fetching {' and '.join(PLUGINS)} from Debian {PLUGINS_FROM} ...")
    _run("apt-get", *options, "update", "-q")
    _run("apt-get", *options, "download", *PLUGINS, cwd=apt)
    folder.mkdir(parents=True, exist_ok=True)
    for name in PLUGINS:
        _run("dpkg", "-x", str(next(apt.glob(f"{name}_*.deb"))), str(apt / "unpacked"))
        shutil.copy2(apt / "unpacked/usr/libexec/docker/cli-plugins" / name, folder / name)


def _base_archive() -> Path:
    """A minimal Debian with this machine's package sources and certificates, as an archive that is kept."""
    archive = CACHE / "debian.tar"
    if archive.exists():
        return archive
    folder = CACHE / "debian"
    shutil.rmtree(folder, ignore_errors=True)
    _say("building a base image ...")
    _run("debootstrap", "--variant=minbase", "--include=ca-certificates", _codename(), str(folder), _mirror())
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(bundle, folder / bundle.relative_to("/"))
    (folder / "etc/apt/sources.list").write_text("")
    for source in _apt_sources():
        shutil.copy(source, folder / "etc/apt" / source.relative_to("/etc/apt"))
    for package in (folder / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    _run("tar", "-C", str(folder), "-cf", f"{archive}.new", ".")
    Path(f"{archive}.new").rename(archive)
    shutil.rmtree(folder, ignore_errors=True)
    return archive


def _pip_configuration() -> str:
    """How this machine's pip reaches packages, for the builds; certificates are in the base image."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    kept = re.findall(r"(?:global|install|:env:)\.(index-url|extra-index-url|trusted-host)='(.*)'", listing)
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt", *(f"{key} = {value}" for key, value in kept)]
    return "\n".join([*lines, ""])


def _apt_sources() -> list[Path]:
    folder = Path("/etc/apt")
    found = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return [path for path in found if path.is_file() and path.suffix in {".list", ".sources"} and path.stat().st_size]


def _mirror() -> str:
    """The first address of the machine's own package sources."""
    for source in _apt_sources():
        if match := re.search(r"^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+)", source.read_text(), re.MULTILINE):
            return match[1]
    raise EngineMissingError("the machine has no package sources under /etc/apt")


def _codename() -> str:
    match = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    return match[1] if match else "stable"


def _is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False)
    return "install ok installed" in done.stdout


def _links() -> set[str]:
    """The machine's network devices."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _remove_rules(table: str) -> None:
    """Docker's packet rules and chains, nobody else's."""
    listed = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=False).stdout
    ours = re.compile(r"DOCKER|docker0|br-[0-9a-f]{12}|172\.1[7-9]\.|172\.2\d\.")
    kept = [line for line in listed.splitlines() if not ours.search(line)]
    if len(kept) != len(listed.splitlines()):
        subprocess.run(["iptables-restore", "-T", table], input="\n".join([*kept, ""]), text=True, check=False)


def _quiet(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)


def _run(*command: str, cwd: Path | None = None) -> None:
    """Without starting services that a package brings: ours is started by hand."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def _say(text: str) -> None:
    print(f"[stack] {text}", file=sys.stderr, flush=True)
