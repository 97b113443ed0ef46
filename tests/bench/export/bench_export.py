"""Memory and speed of exporting ten million requests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loadstone.archive.finalize.blocks import Block
from loadstone.archive.finalize.tables import RequestTable
from loadstone.domain.batch import no_intents

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 10_000_000
BLOCK = 131_072
MOST_MB = 300
MEASURED = """import resource, sys
from loadstone.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def write_requests(path: Path) -> None:
    """Ten million requests of 200 names, 1 % of them failed."""
    rng = np.random.default_rng(1)
    pairs = [("GET", f"/item/{number}") for number in range(200)]
    with RequestTable(path) as table:
        for begin in range(0, ROWS, BLOCK):
            n = min(BLOCK, ROWS - begin)
            table.write(block(rng, begin, n, pairs))


def block(rng: np.random.Generator, begin: int, n: int, pairs: list[tuple[str, str]]) -> Block:
    """One row group."""
    name = rng.integers(0, len(pairs), n)
    return Block(
        end_ns=1_790_000_000_000_000_000 + (begin + np.arange(n)) * 100_000,
        duration_us=rng.lognormal(10, 0.5, n).astype(np.int64),
        ttfb_us=np.full(n, -1, np.int32),
        bytes=np.full(n, 100, np.int64),
        status=np.full(n, 200, np.int32),
        late_us=no_intents(n),
        pair=name,
        error=np.where(rng.random(n) < 0.01, 0, -1),
        incarnation=np.zeros(n, np.int64),
        name_id=name,
        pairs=pairs,
        errors=["HTTP 503"],
        incarnations=[("boot", 0)],
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with that one run."""
    folder = tmp_path_factory.mktemp("results") / "big"
    folder.mkdir()
    write_requests(folder / "requests.parquet")
    (folder / "run.json").write_text(json.dumps({"id": "big"}))
    return folder.parent


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def bench_export_of_ten_million_requests(results: Path, form: str):
    target = results / f"out.{form}"
    export = ["export", "big", "--results", str(results), "--format", form, "-o", str(target)]
    done = subprocess.run([sys.executable, "-c", MEASURED, *export], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    megabytes = int(done.stdout) / (1024 if sys.platform == "linux" else 1024 * 1024)
    print(f"\n{form:8} peak {megabytes:4.0f} MB  {done.stderr.splitlines()[-1].rpartition(', ')[2]}")
    target.unlink()
    assert megabytes < MOST_MB
