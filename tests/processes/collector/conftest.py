"""A deployment for the tests of the collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.redis_server import RedisServer


@pytest.fixture
def deployment(valkey: RedisServer, tmp_path: Path) -> Iterator[Deployment]:
    """Streams on a fresh Valkey with one Aggregator behind them, which the test steps."""
    made = Deployment(valkey.url, tmp_path / "results")
    yield made
    for aggregator in made.aggregators:
        aggregator.close()
    made.client.close()
