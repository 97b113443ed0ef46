"""Fixtures of the stack's tests: one engine and one stack for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ComposeStack
from support.docker_engine import LEFT_OUT, DockerEngine, EngineMissingError
from support.require import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS, REPLICAS = 8, 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests share a stack; their order is that of their files and lines, whatever a plugin thinks."""
    items.sort(key=lambda item: (str(item.path), item.reportinfo()[1] or 0))


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """A Docker Engine; the tests are skipped, with the reason, where there is none and none may be installed."""
    try:
        with DockerEngine() as engine:
            yield engine
    except EngineMissingError as reason:
        missing(str(reason))


@pytest.fixture(scope="session")
def stack(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The whole stack, up and healthy, with eight workers and three replicas of the target."""
    stack = ComposeStack(engine, tmp_path_factory.mktemp("stack"))
    try:
        stack.build()
        stack.up(locust_worker=WORKERS, target=REPLICAS)
        yield stack
    finally:
        print(f"left out here: {', '.join(LEFT_OUT)}" if not engine.has_registry else "official images were used")
        stack.down("-v")
