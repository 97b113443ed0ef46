"""Take the pictures of a run of two thousand users in the whole stack, one replica of whose target is killed meanwhile.

`make page-pictures`. The stack is the shipped compose file, with the stand-ins of tests/stack where no registry can be
reached. Target, balancer, their containers and all that the pages show are real. The machine should do nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.chromium import Browser
from support.compose_stack import ROOT, ComposeStack
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.docker_engine import DockerEngine

IMAGES = ROOT / "docs" / "images"
USERS = 2000
RUN = (
    *("--users", str(USERS), "--spawn-rate", "100", "--warmup", "10s", "--run-time", "3m"),
    *("--objective", "p95<500ms", "--objective", "failures<1%"),
)
KILLED_AT_S, LIVE_AT_S = 80, 130
WIDTH, HEIGHT = 1280, 860


@pytest.fixture(scope="module")
def stack(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    with ComposeStack(engine, tmp_path_factory.mktemp("stack")).brought_up(locust_worker=4) as stack:
        yield stack


def draw_the_live_page_and_the_report(stack: ComposeStack):
    began = time.monotonic()
    where = ["--stack", "--stack-url", stack.locust, "--results", str(stack.results)]
    browser = Browser(server_binary("chromium"))
    run = subprocess.Popen([sys.executable, "-m", "loadstone", "run", *where, *RUN], cwd=ROOT)
    try:
        stack.wait_for_users(USERS)
        _wait_until(began + KILLED_AT_S)
        stack.lose("target")
        _wait_until(began + LIVE_AT_S)
        _take(browser, f"http://127.0.0.1:{stack.ports['LIVE_PORT']}/", "live-page", settle_s=5)
        assert run.wait(300) in {0, 1, 3}
        (report,) = stack.results.glob("*/report.html")
        _take(browser, report.as_uri(), "report", settle_s=1)
    finally:
        run.kill()
        browser.close()


def _take(browser: Browser, address: str, name: str, *, settle_s: float) -> None:
    """Take a page in light and in dark."""
    for dark in (False, True):
        with browser.page(width=WIDTH, height=HEIGHT, dark=dark) as page:
            page.open(address)
            time.sleep(settle_s)
            page.screenshot(_file(name, dark=dark), whole=False)


def _file(name: str, *, dark: bool) -> Path:
    return IMAGES / f"{name}-{'dark' if dark else 'light'}.png"


def _wait_until(moment_s: float) -> None:
    time.sleep(max(0, moment_s - time.monotonic()))
