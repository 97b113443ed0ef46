"""Comparisons of plain Locust with loadstone (support.threefold)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import Threefold

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def threefold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threefold]:
    """Run Locust files with plain ``locust`` and with ``loadstone run``; nothing is left of them after the module."""
    compared = Threefold(lambda name: tmp_path_factory.mktemp(name[:2]))
    with compared.stack:
        yield compared
