"""Fixtures of the stack's tests: one engine and one stack for all; each test gets the stack idle and at full scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ComposeStack
from support.docker_engine import LEFT_OUT, DockerEngine, EngineMissingError
from support.require import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.compose_stack import Containers


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """A Docker Engine; the tests are skipped, with the reason, where there is none and none may be installed."""
    try:
        with DockerEngine() as engine:
            yield engine
    except EngineMissingError as reason:
        missing(str(reason))


@pytest.fixture(scope="session")
def shared_stack(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The one stack of the session, built and up; tests take `stack`, which first undoes what others did to it."""
    stack = ComposeStack(engine, tmp_path_factory.mktemp("stack"))
    try:
        stack.build()
        stack.up()
        yield stack
    finally:
        print(f"left out here: {', '.join(LEFT_OUT)}" if not engine.has_registry else "official images were used")
        stack.down("-v")


@pytest.fixture(scope="session")
def first_start(shared_stack: ComposeStack) -> Containers:
    """All containers by service, as the engine described them right after the first start."""
    return shared_stack.by_service()


@pytest.fixture
def stack(shared_stack: ComposeStack, first_start: Containers) -> ComposeStack:
    """The whole stack, healthy and idle, with eight workers and three replicas, whatever earlier tests left."""
    shared_stack.settle()
    return shared_stack
