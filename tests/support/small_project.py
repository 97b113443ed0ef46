"""SmallProject: a compose project of two services made of the stack's own target image, for tests of the rig."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from loadstone.rig.compose_project import ComposeRig
from loadstone.rig.docker import Docker

if TYPE_CHECKING:
    from pathlib import Path

    from support.docker_engine import DockerEngine

__all__ = ["SmallProject", "limits_in"]

_NAME: Final = "loadstone-shop"
_FILE: Final = """
name: {name}
x-app: &app
  image: {image}
  pull_policy: never
  init: true
  stop_grace_period: 1s
services:
  api:
    <<: *app
    command: [python, -c, "x = b'x' * (24 << 20); import runpy; runpy.run_module('http.server', None, '__main__')"]
    environment: {{MODE: "${{SHOP_MODE:-plain}}"}}
    restart: unless-stopped
    deploy: {{resources: {{limits: {{cpus: "0.8", memory: 96m}}, reservations: {{memory: 64m}}}}}}
    healthcheck: {{test: [CMD, bash, -c, ": > /dev/tcp/127.0.0.1/8000"], interval: 250ms, retries: 400}}
  other:
    <<: *app
    command: [sleep, infinity]
"""
_CGROUP: Final = """
if [ -f /sys/fs/cgroup/cpu.max ]; then cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max; else
cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us memory/memory.limit_in_bytes; fi
"""


class SmallProject:
    """Up from `start` until `remove`. ``file`` is the user's compose file."""

    def __init__(self, engine: DockerEngine, folder: Path, image: str) -> None:
        self.engine = engine
        self.file = folder / "shop.yaml"
        self.file.write_text(_FILE.format(name=_NAME, image=image))

    def start(self) -> None:
        """Bring it up as a user does."""
        self._compose("up", "-d", "--wait")

    def remove(self) -> None:
        """Stop and remove everything."""
        self._compose("down", "-v", "-t", "1")

    def rig(self, service: str = "api", **variables: str) -> ComposeRig:
        """A rig as a process makes it that has these variables."""
        docker = Docker(self.engine.docker_program, {**self.engine.environment, **variables})
        return ComposeRig.of_files([self.file], service, docker)

    def containers(self, service: str = "api") -> list[dict[str, Any]]:
        """All containers of a service, those that have ended too, as the engine describes them."""
        ids = self._compose("ps", "-aq", service).split()
        found: list[dict[str, Any]] = json.loads(self.engine.must("inspect", *ids)) if ids else []
        return found

    def ids(self, service: str = "api") -> set[str]:
        """Their ids."""
        return {each["Id"] for each in self.containers(service)}

    def leave_half_a_container(self) -> None:
        """What is left when Compose is killed after it has made a container in another's place."""
        (found,) = self.containers()
        labels = found["Config"]["Labels"].items()
        name = f"{found['Id'][:12]}_{found['Name'].removeprefix('/')}"
        options = (part for key, text in labels for part in ("--label", f"{key}={text}"))
        self.engine.must("create", "--name", name, *options, found["Image"])

    def _compose(self, *arguments: str) -> str:
        return self.engine.must("compose", "-f", str(self.file), *arguments)


def limits_in(engine: DockerEngine, container: str) -> tuple[float, int]:
    """Cores and bytes that the control group of a container has, read inside it."""
    quota, period, memory = re.findall(r"\d+", engine.must("exec", container, "bash", "-c", _CGROUP))
    return int(quota) / int(period), int(memory)
