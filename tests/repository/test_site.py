"""The documentation as a site: it builds without a warning, its menu has every page, nothing comes from elsewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="((?:https?:)?//[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built: Path = load_script("site/build.py").build(tmp_path_factory.mktemp("site") / "built")
    return built


def pages_of(entries: list[dict[str, Any]]) -> list[str]:
    """The pages in a part of the menu."""
    found = []
    for entry in entries:
        for value in entry.values():
            found += [value] if isinstance(value, str) else pages_of(value)
    return found


def test_every_page_is_in_the_menu_once(site: Path):
    menu = tomllib.loads((ROOT / "site" / "zensical.toml").read_text())["project"]["nav"]
    written = {str(path.relative_to(site.parent / "pages")) for path in (site.parent / "pages").rglob("*.md")}
    assert sorted(pages_of(menu)) == sorted(written)


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path):
    for page in (site.parent / "pages").rglob("*.md"):
        built = site / page.relative_to(site.parent / "pages").with_suffix(".html")
        assert LOADED.findall(built.read_text()) == [], built


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("README.md", "[a](docs/faq.md)", "[a](faq.md)"),
        ("README.md", "![a](docs/images/run.svg)", "![a](images/run.svg)"),
        ("README.md", '<img alt="a" src="docs/images/run.svg">', '<img alt="a" src="images/run.svg">'),
        ("README.md", '<source srcset="docs/images/run.svg">', '<source srcset="images/run.svg">'),
        ("docs/how-to/x.md", "[a](../faq.md#why)", "[a](../faq.md#why)"),
        ("docs/how-to/x.md", "[`a`](../../SECURITY.md#who)", "[`a`](../security.md#who)"),
        ("docs/how-to/x.md", "see [the bench](../../tests/bench/bench_x.py).", "see the bench."),
        ("docs/x.md", "[a](https://example.com) [b](#here) <c>", "[a](https://example.com) [b](#here) <c>"),
        ("docs/x.md", "```py\n[a](b)\n```\n[a](b)\n", "```py\n[a](b)\n```\na\n"),
    ],
)
def test_links_lead_to_pages_of_the_site_or_are_words(source: str, text: str, expected: str):
    places = {
        PurePosixPath("README.md"): PurePosixPath("index.md"),
        PurePosixPath("SECURITY.md"): PurePosixPath("security.md"),
        PurePosixPath("docs/faq.md"): PurePosixPath("faq.md"),
        PurePosixPath("docs/images/run.svg"): PurePosixPath("images/run.svg"),
        PurePosixPath("docs/how-to/x.md"): PurePosixPath("how-to/x.md"),
        PurePosixPath("docs/x.md"): PurePosixPath("x.md"),
    }
    assert load_script("site/build.py").with_links(text, PurePosixPath(source), places) == expected
