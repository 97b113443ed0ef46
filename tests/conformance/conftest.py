"""Comparisons of plain Locust with loadstone (support.threefold)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import Threefold

if TYPE_CHECKING:
    from collections.abc import Iterator


def _threefold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threefold]:
    compared = Threefold(lambda name: tmp_path_factory.mktemp(name[:2]))  # short, as a Unix socket's path has to be
    with compared.stack:
        yield compared


@pytest.fixture
def threefold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threefold]:
    """Run Locust files with plain ``locust`` and with ``loadstone run``; nothing is left of them after the test."""
    yield from _threefold(tmp_path_factory)


@pytest.fixture(scope="module")
def threefold_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threefold]:
    """The same for all tests of a module together, which say so with ``pytest.mark.xdist_group``."""
    yield from _threefold(tmp_path_factory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give comparisons five minutes, as several programs start at once; they take seconds where nothing else runs."""
    for item in items:
        if "threefold" in str(getattr(item, "fixturenames", "")):
            item.add_marker(pytest.mark.timeout(300))
