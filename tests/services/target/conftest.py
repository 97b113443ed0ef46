"""A real HAProxy, and a registry with the sample model."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
for folder in ("target", "tests/processes/target", "tests/bench/target"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # warnings that importing MLflow raises
    import mlflow.pyfunc  # noqa: F401


@pytest.fixture(scope="session")
def haproxy(request: pytest.FixtureRequest) -> Path:
    """The HAProxy binary: from LOADSTONE_HAPROXY, the path, or the fetched servers."""
    named = os.environ.get("LOADSTONE_HAPROXY") or shutil.which("haproxy")
    if named:
        return Path(named)
    try:
        found: Path = request.getfixturevalue("haproxy_binary")
    except pytest.FixtureLookupError:
        pytest.skip("HAProxy not found: set LOADSTONE_HAPROXY, or run make test-services, which fetches it")
    return found
