"""The folder of a reader, and a load test of the documentation started in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.docs.world import make_folder
from support.loadstone_run import LoadstoneRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.counting_server import CountingServer


@pytest.fixture
def folder(tmp_path: Path, counting_server: CountingServer) -> Path:
    """Where the reader types; the settings file in it names the counting server."""
    made = tmp_path / "reader"
    made.mkdir()
    return make_folder(made, counting_server.url)


@pytest.fixture
def typed_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LoadstoneRun]]:
    """Prepare ``loadstone run`` with these words, in the reader's folder, with one worker unless they say otherwise."""
    made: list[LoadstoneRun] = []

    def prepare(*words: str, verb: str = "run") -> LoadstoneRun:
        run = LoadstoneRun(
            tmp_path_factory.mktemp("run"), words, verb, cwd=folder, variables={"LOADSTONE_WORKERS": "1"}
        )
        made.append(run)
        return run

    yield prepare
    for run in made:
        run.kill_leftovers()
