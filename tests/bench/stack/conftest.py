"""The whole stack for ten thousand users: their scenario, and as many balancers as the machine's file limit demands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ComposeStack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.docker_engine import DockerEngine

PATIENT = Path(__file__).with_name("patient.py")


@pytest.fixture(scope="session")
def patient_stack(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The stack with eight workers and three replicas of the target.

    A balancer needs two files for each connection. Where the machine allows too few, two balancers share the load.
    """
    stack = ComposeStack(engine, tmp_path_factory.mktemp("patient"), scenario=PATIENT)
    enough = int(stack.settings["BALANCER_MAXCONN"]) > 10_000
    with stack.brought_up(balancer=1 if enough else 2):
        yield stack
