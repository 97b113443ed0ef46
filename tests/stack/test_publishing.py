"""Images are published to a real registry, and come back from it as they were."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ROOT, ask
from support.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.docker_engine import DockerEngine

OFFICIAL = ["registry:2.8.3"]
STANDIN = ["loadstone-standin/servers", "docker-registry", "serve", "/standin/registry.yml"]
"""Debian's package of the same program."""
PUSHED = ("collector", "locust-worker")


@pytest.fixture
def registry(engine: DockerEngine) -> Iterator[str]:
    """A registry on this machine; its host and port."""
    port = free_port()
    image = OFFICIAL if engine.has_registry else STANDIN
    options = ["--tmpfs", "/var/lib/docker-registry", "--tmpfs", "/var/lib/registry", "-p", f"127.0.0.1:{port}:5000"]
    name = engine.must("run", "-d", "--rm", *options, *image).strip()

    def answers() -> bool:
        try:
            return ask(f"http://127.0.0.1:{port}/v2/", timeout_s=1) == {}
        except OSError:
            return False

    try:
        wait_until(answers, "the registry answers", timeout_s=60)
        yield f"127.0.0.1:{port}"
    finally:
        engine.must("rm", "-f", name)


def test_make_push_publishes_the_images_with_tag_version_and_revision(engine: DockerEngine, registry: str):
    make = shutil.which("make")
    assert make is not None
    arguments = [f"REGISTRY={registry}/team", "TAG=9.8.7", f"IMAGES={' '.join(PUSHED)}"]
    standin = {} if engine.has_registry else {"PYTHON_IMAGE": "loadstone-standin/python"}
    environment = {**engine.environment, **standin}
    done = subprocess.run(
        [make, "push", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert ask(f"http://{registry}/v2/_catalog") == {"repositories": [f"team/{name}" for name in PUSHED]}
    image = f"{registry}/team/locust-worker:9.8.7"
    before = engine.must("image", "inspect", "-f", "{{.Id}}", image)
    engine.must("rmi", image)
    engine.must("pull", "-q", image)
    (pulled,) = json.loads(engine.must("image", "inspect", image))
    labels = pulled["Config"]["Labels"]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert pulled["Id"] == before.strip()
    assert labels["org.opencontainers.image.version"] == "9.8.7"
    assert labels["org.opencontainers.image.revision"] == revision.strip()
    assert pulled["Config"]["User"] == "10001:10001"
