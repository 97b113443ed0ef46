"""One trained registry for the whole session; tests that change a registry use a copy."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
for folder in (ROOT / "target", Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # warnings that importing MLflow raises
    import mlflow.pyfunc  # noqa: F401

# Warnings of third-party libraries, which cannot be fixed here.
_THIRD_PARTY = (
    "ignore::DeprecationWarning:mlflow.*",
    "ignore::FutureWarning:mlflow.*",
    "ignore::UserWarning:mlflow.*",
    "ignore::DeprecationWarning:google.*",
    "ignore::DeprecationWarning:pydantic.*",
    "ignore::DeprecationWarning:sqlalchemy.*",
    "ignore::ResourceWarning:sqlalchemy.*",
    # scikit-learn passes the process's filters on to threads, and finds none while another thread replaces them.
    "ignore:`sklearn.utils.parallel.delayed` should be used:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for line in _THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(line), append=False)


@pytest.fixture(scope="session")
def forest(trained: Path) -> Any:
    """The registry's model as MLflow loads it."""
    from target_helpers import loaded

    return loaded(trained, "models:/diabetes@champion")


@pytest.fixture
def registry_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the registry for one test, which shares the trained artifacts."""
    folder = tmp_path / "registry"
    folder.mkdir()
    shutil.copyfile(trained / "mlflow.db", folder / "mlflow.db")
    return folder
