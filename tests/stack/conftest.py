"""Fixtures of the stack's tests: one engine and one stack for all; each test gets the stack idle and at full scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ComposeStack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.compose_stack import Containers
    from support.docker_engine import DockerEngine


@pytest.fixture(scope="session")
def shared_stack(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The one stack of the session, built and up; tests take `stack`, which first undoes what others did to it."""
    with ComposeStack(engine, tmp_path_factory.mktemp("stack")).brought_up() as stack:
        yield stack


@pytest.fixture(scope="session")
def first_start(shared_stack: ComposeStack) -> Containers:
    """All containers by service, as the engine described them right after the first start."""
    return shared_stack.by_service()


@pytest.fixture
def stack(shared_stack: ComposeStack, first_start: Containers) -> ComposeStack:
    """The whole stack, healthy and idle, with eight workers and three replicas, whatever earlier tests left."""
    shared_stack.settle()
    return shared_stack
