"""The documentation as a site, in a real browser: search finds pages, and everything comes from the site itself."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.chromium import Browser
from support.loadstone_run import REPOSITORY
from support.page_checks import assert_quiet, fits
from support.servers import server_binary
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

SEARCH_HAS_FOCUS = (
    "[...document.querySelectorAll('*')].some((each) => each.shadowRoot?.activeElement?.tagName === 'INPUT')"
)
SHOWN_IN_SHADOW = "[...document.querySelectorAll('*')].map((each) => each.shadowRoot?.textContent ?? '').join(' ')"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site."""
    folder = tmp_path_factory.mktemp("site") / "built"
    subprocess.run([sys.executable, str(REPOSITORY / "site" / "build.py"), str(folder)], check=True)
    handler = functools.partial(Quiet, directory=str(folder / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("words", "heading"),
    [("coordinated omission", "What users did not send"), ("out-of-memory kills", "Out-of-memory kills")],
)
def test_search_finds_the_page_that_answers(browser: Browser, site: str, words: str, heading: str):
    with browser.page() as page:
        page.open(f"{site}/tutorial.html")
        page.wait_for("document.querySelector('button.md-search__button') !== null")
        page.evaluate("document.querySelector('button.md-search__button').click()")
        page.wait_for(SEARCH_HAS_FOCUS)
        page.call("Input.insertText", text=words)
        page.wait_for(f"{SHOWN_IN_SHADOW}.includes({heading!r})")
        assert_quiet(page, site)


@pytest.mark.parametrize("name", ["index", "tutorial", "reference/objectives", "explanation/what-is-tested"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_load_nothing_from_elsewhere(browser: Browser, site: str, name: str, width: int):
    with browser.page(width=width) as page:
        page.open(f"{site}/{name}.html")
        assert fits(page, width)
        assert_quiet(page, site)


def test_a_dark_system_gets_dark_pages(site: str):
    browser = Browser(server_binary("chromium"))  # another one has made its choice with the first page
    try:
        with browser.page(dark=True) as page:
            page.open(f"{site}/tutorial.html")
            page.wait_for("document.body.dataset.mdColorScheme === 'slate'")
    finally:
        browser.close()
