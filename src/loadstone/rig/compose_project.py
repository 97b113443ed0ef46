"""ComposeRig: gives the replicas of one service of a compose project limits, by a file beside the user's own.

The containers of that service are recreated, nothing else is touched: neither other services nor the user's files.
What holds is read back from the Docker Engine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import psutil

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.watched import WatchedProject
from loadstone.rig.compose_files import ComposeFiles
from loadstone.rig.docker import Docker, DockerError
from loadstone.rig.foreign_traffic import Received, check_quiet, packets_in
from loadstone.rig.host_room import check_cpuset, check_room
from loadstone.rig.override import IN_STUDY, MADE_FROM, Limits, override_text
from loadstone.rig.replica import Replica, replicas_of
from loadstone.rig.rig import Applied, BrokeAtStart, LimitsDifferError, Setting, StartFailedError, limits_text
from loadstone.rig.stack_parts import TARGET, balancer_requests, stack_files, target_info
from loadstone.rig.starting import Start
from loadstone.settings import compose_project_name
from loadstone.usage.reading import SourceError, get_from_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["ComposeRig"]

_READ_BACK: Final = "the Docker Engine"
_UP_WITHIN_S: Final = 300.0
"""How long Compose may take, which waits for containers that end in their own time."""
_READY_WITHIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.5
_OVERRIDE_FOLDER: Final = "loadstone-rig-"
_CORES_APART: Final = 0.001
"""Compose keeps cores in 32 bits."""
_LEAST_MEM_BYTES: Final = 6 * 1024**2
_NOT_EVEN_STARTED: Final = ("oom-killed", "memory limit too low", "cannot allocate memory", "signal: killed")
"""What the engine says when memory does not even suffice to start a container's first process."""


class _Before(msgspec.Struct, frozen=True, kw_only=True):
    """What was there before a study."""

    project: str
    service: str
    replicas: int
    cpu_cores: float | None
    mem_bytes: int | None
    memswap_bytes: int | None
    config_hash: str

    @property
    def limits(self) -> Limits:
        """With swap only where it was not what Docker gives by itself."""
        usual = self.memswap_bytes == 2 * (self.mem_bytes or 0)
        return Limits(
            cpu_cores=self.cpu_cores, mem_bytes=self.mem_bytes, memswap_bytes=None if usual else self.memswap_bytes
        )


class ComposeRig:
    """One service of a project that is up. ``ready_within_s``: how long its replicas may take until they are ready."""

    def __init__(
        self,
        files: ComposeFiles,
        service: str,
        *,
        is_stack: bool = False,
        ready_within_s: float = _READY_WITHIN_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files, self._docker = files, files.docker
        self._service = service
        self._is_stack = is_stack
        self._ready_within_s = ready_within_s
        self._sleep = sleep

    @classmethod
    def of_files(cls, files: Sequence[Path], service: str, docker: Docker | None = None, **options: Any) -> Self:
        """A service of the project that Compose makes of these files. Raises `UsageError`."""
        docker = docker or Docker()
        docker.check_answers()
        return cls(ComposeFiles.of(docker, files), service, **options)

    @classmethod
    def of_stack(cls, docker: Docker | None = None, project: str | None = None, **options: Any) -> Self:
        """The target of loadstone's own stack that is up. Raises `UsageError` where there is none, or several.

        ``project`` chooses one; without it COMPOSE_PROJECT_NAME.
        """
        docker = docker or Docker()
        docker.check_answers()
        files = stack_files(docker, project or compose_project_name())
        return cls(files, TARGET, is_stack=True, **options)

    @property
    def name(self) -> str:
        """What it sets limits of."""
        return f"service {self._service} of the compose project {self.project}"

    @property
    def service(self) -> str:
        """The service under which a run records the target's usage."""
        return self._service

    @property
    def project(self) -> str:
        """The compose project."""
        return self._files.project

    def services(self) -> Collection[str]:
        """The services of the project, as its files name them: a run records the usage of each. Raises `UsageError`."""
        return self._files.services()

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        """Raise `UsageError` if this machine, Docker or the service cannot have one of these settings.

        ``kept_cores`` are left for the generator of the load.
        """
        if min(setting.mem_bytes for setting in settings) < _LEAST_MEM_BYTES:
            raise UsageError("Docker gives a container no less than 6m of memory", hint="Begin with more")
        if max(setting.replicas for setting in settings) > 1:
            self._check_can_be_scaled()
        if cpuset := self._config().get("cpuset"):
            check_cpuset(settings, cpuset)
        host = self._docker.json("info", "--format", "{{json .}}")
        check_room(settings, host_cores=host["NCPU"], host_mem_bytes=host["MemTotal"], kept_cores=kept_cores)

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        """Raise `UsageError` when somebody else's requests reach the service; takes 5 s."""
        socket, ids = self._docker.socket(), [each.id for each in self._running()]

        def received() -> Received:
            requests = balancer_requests(self._docker, self.project) if self._is_stack else None
            return Received(requests, {id_: _packets(socket, id_) for id_ in ids})

        check_quiet(received, interrupted, sleep=self._sleep)

    def before(self) -> Mapping[str, Any]:
        """What is there now, as JSON, for `restore`. Raises `UsageError` where this rig cannot be used."""
        replicas = self._running()
        for each in replicas:
            if each.in_study:
                raise UsageError(
                    f"{each.name} still has the limits of a study that did not end",
                    hint="Resume that study: it puts back what was there",
                )
        self._check_unchanged(replicas)
        limits = replicas[0].limits
        if any(each.limits != limits for each in replicas):
            raise UsageError(
                f"the replicas of {self.name} differ in their limits", hint="Recreate them with `docker compose up`"
            )
        found = _Before(
            project=self.project,
            service=self._service,
            replicas=len(replicas),
            cpu_cores=limits.cpu_cores,
            mem_bytes=limits.mem_bytes,
            memswap_bytes=limits.memswap_bytes,
            config_hash=replicas[0].config_hash,
        )
        built: dict[str, Any] = msgspec.to_builtins(found)
        return built

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """See `Rig`."""
        hash_ = self._check_unchanged(self._containers())
        limits = Limits(cpu_cores=setting.cpu_cores, mem_bytes=setting.mem_bytes, memswap_bytes=setting.mem_bytes)
        start = Start(self._docker, self._containers, self._ready_within_s, self._sleep)
        if not interrupted():
            self._up(limits, setting.replicas, labels={MADE_FROM: hash_, IN_STUDY: "yes"})
        replicas = start.wait(setting.replicas, interrupted)
        if replicas is None:
            return Applied(setting=setting, read_back="")
        self._check_holds(replicas, limits, setting.replicas)
        watched = None if self._is_stack else WatchedProject(project=self.project, socket=self._docker.socket())
        identity = self._identity(replicas[0])
        return Applied(setting=setting, read_back=_READ_BACK, identity=identity, watched=watched)

    def restore(self, before: Mapping[str, Any]) -> str:
        """See `Rig`. Where the files and variables are as they were, the service gets its own limits back from them."""
        was = msgspec.convert(before, _Before)
        if (was.project, was.service) != (self.project, self._service):
            raise UsageError(
                f"the study was of service {was.service} of the compose project {was.project}, not of {self.name}"
            )
        self._await_left_over()
        hash_ = self._files.hash_of(self._service)
        same = hash_ == was.config_hash
        start = Start(self._docker, self._containers, self._ready_within_s, self._sleep)
        try:
            self._up(None if same else was.limits, was.replicas, labels=self._own_labels(hash_, same=same))
            replicas = start.wait(was.replicas)
            self._check_holds(replicas or (), was.limits, was.replicas)
        except (BrokeAtStart, StartFailedError, LimitsDifferError) as error:
            raise PlatformError(f"{self.name} is not as it was before: {error}", hint=self._own_cure(was)) from error
        told = f"{self.name} has {limits_text(was.cpu_cores, was.mem_bytes, was.replicas)} again"
        return told if same else f"{told}; its other settings are those of the environment and the files of now"

    def _own_labels(self, hash_: str, *, same: bool) -> dict[str, str]:
        """What has to tell that replicas have their own configuration: Compose's label does for the same one.

        Except where the service depends on others, which ``--no-deps`` leaves out of the configuration.
        """
        return {} if same and not self._config().get("depends_on") else {MADE_FROM: hash_}

    def _await_left_over(self) -> None:
        """Wait for Compose to end what a study asked it for before it was killed: two at once end in errors."""
        deadline_s = time.monotonic() + _UP_WITHIN_S
        while self._is_at_work() and time.monotonic() < deadline_s:
            self._sleep(_LOOK_EVERY_S)

    def _is_at_work(self) -> bool:
        """Whether Compose is at work with a file beside the user's own; not for this process, which waits for it."""
        lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        return any(self.project in line and any(_OVERRIDE_FOLDER in word for word in line) for line in lines)

    def _own_cure(self, was: _Before) -> str:
        return f"Recreate it: docker compose -p {was.project} up -d --scale {was.service}={was.replicas} {was.service}"

    def _containers(self) -> list[Replica]:
        return replicas_of(self._docker, self.project, self._service)

    def _running(self) -> list[Replica]:
        """Its running replicas. Raises `UsageError` where the files do not have the service, or it is not up."""
        self._config()
        running = [each for each in self._containers() if each.runs]
        if not running:
            raise UsageError(
                f"{self.name} is not up", hint="Start the project with `docker compose up -d` and the same files"
            )
        return running

    def _config(self) -> dict[str, Any]:
        services = self._files.services()
        if self._service not in services:
            raise UsageError(
                f"there is no service {self._service!r} in {', '.join(map(str, self._files.files))}",
                hint=f"The services are {', '.join(sorted(services))}; name one with --service",
            )
        found: dict[str, Any] = services[self._service]
        return found

    def _check_unchanged(self, replicas: Sequence[Replica]) -> str:
        """The hash of the service's configuration. Raises `UsageError` if its containers were made from another one.

        Recreating those would change more than their limits.
        """
        hash_ = self._files.hash_of(self._service)
        for each in replicas:
            if each.config_hash != hash_:
                raise UsageError(
                    f"{each.name} was started with other files or variables than there are now, so that recreating it"
                    " would change more than its limits",
                    hint="Export the variables with which it was started, or recreate it with `docker compose up -d`",
                )
        return hash_

    def _check_can_be_scaled(self) -> None:
        config = self._config()
        if name := config.get("container_name"):
            raise UsageError(
                f"{self.name} has the fixed container_name {name}, so there can be one replica only",
                hint="Remove container_name, or ask for one replica",
            )
        fixed = [port["published"] for port in config.get("ports") or () if str(port.get("published", "")).isdigit()]
        if fixed:
            raise UsageError(
                f"{self.name} publishes port {fixed[0]}, which only one replica can have",
                hint="Put a balancer before it and publish that one's port, or ask for one replica",
            )

    def _up(self, limits: Limits | None, replicas: int, *, labels: Mapping[str, str]) -> None:
        """Recreate the replicas with these limits; None: with those of the user's files."""
        if half_made := [each.id for each in self._containers() if each.is_half_made]:
            self._docker.ask("rm", "-f", *half_made)
        up = ["up", "-d", "--no-deps", "--no-build", "--scale", f"{self._service}={replicas}"]
        with tempfile.TemporaryDirectory(prefix=_OVERRIDE_FOLDER) as folder:
            override = None
            if limits or labels:
                override = Path(folder) / "limits.json"
                override.write_text(override_text(self._service, self._config(), limits, labels))
                up.append("--force-recreate")
            try:
                self._files.compose(*up, self._service, override=override, within_s=_UP_WITHIN_S)
            except DockerError as error:
                if any(sign in error.said.lower() for sign in _NOT_EVEN_STARTED):
                    raise BrokeAtStart(f"{self._service} could not even be started: {error}") from error
                raise

    def _check_holds(self, replicas: Sequence[Replica], limits: Limits, count: int) -> None:
        """Raise `LimitsDifferError` unless so many replicas run, each with these limits."""
        running = [each for each in replicas if each.runs]
        if len(running) != count:
            raise LimitsDifferError(f"{self.name} has {len(running)} running replicas and not {count}")
        for each in running:
            cores = each.limits.cpu_cores or 0
            if abs(cores - (limits.cpu_cores or 0)) > _CORES_APART or each.limits.mem_bytes != limits.mem_bytes:
                raise LimitsDifferError(
                    f"{each.name} has {limits_text(each.limits.cpu_cores, each.limits.mem_bytes)} and not"
                    f" {limits_text(limits.cpu_cores, limits.mem_bytes)}",
                    hint="Something else changes its limits",
                )

    def _identity(self, replica: Replica) -> dict[str, Any]:
        image = self._docker.json("image", "inspect", replica.image_id)[0]
        digests = image.get("RepoDigests") or []
        known = {"image": replica.image, "image_id": replica.image_id, **({"digest": digests[0]} if digests else {})}
        return {**known, **(target_info(self._docker, replica) if self._is_stack else {})}


def _packets(socket: Path, id_: str) -> int:
    """Raises `PlatformError`."""
    try:
        stats = get_from_socket(socket, f"/v1.41/containers/{id_}/stats?stream=false&one-shot=true")
        return packets_in(msgspec.json.decode(stats))
    except (SourceError, msgspec.MsgspecError) as error:
        raise PlatformError(f"what a replica receives cannot be read: {error}") from error
