"""Locust's own examples, out of its source distribution, which is downloaded once and kept unchanged in the cache."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from textwrap import dedent

from support.require import missing

__all__ = ["code_block", "locust_source"]

VERSION = "2.29.1"  # the newest whose source distribution holds the examples
SHA256 = "2e0628a59e2689a50cb4735a9a43709e30f2da7ed276c15d877c5325507f44b1"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "locust-examples"
DOWNLOAD_TIMEOUT_S = 120


def locust_source() -> Path:
    """The folder of the unpacked source distribution; the test is skipped, or fails, when it cannot be had."""
    folder = CACHE / f"locust-{VERSION}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _unpack(_download(Path(scratch)), Path(scratch))
            (Path(scratch) / folder.name).rename(folder)
    return folder


def code_block(page: str, word: str) -> str:
    """The first code block of a page of Locust's documentation that holds a word."""
    found = re.findall(r"^\.\. code-block:: python\n\n((?: {4}.*\n|\n)+)", page, re.MULTILINE)
    return dedent(next(block for block in found if word in block))


def _download(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-binary", "locust", "--dest", str(folder), f"locust=={VERSION}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_TIMEOUT_S,
    )
    if done.returncode:
        last_words = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        missing(f"the source distribution of Locust {VERSION} cannot be downloaded: {last_words}")
    return next(folder.glob("*.tar.gz"))


def _unpack(archive: Path, folder: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert digest == SHA256, f"{archive.name} is not the one these tests were written for: {digest}"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
