"""Build the documentation as a site: ``python site/build.py FOLDER`` writes it to ``FOLDER/site``.

The pages are those of ``docs`` and the Markdown files at the top of the repository, as they are. Links between them are
kept; a link to a file that is no page of the site, such as a test, becomes its words alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CONFIGURATION: Final = Path(__file__).with_name("zensical.toml")
TOP: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files at the top of the repository, and what they are called in the site."""
LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
PICTURE: Final = re.compile(r'\b(src|srcset)="([^"\s]+)"')
FENCE: Final = re.compile(r"^\s*(```|~~~)")


def build(folder: Path) -> Path:
    """Build the site below ``folder``; the folder of its pages. Raises `SystemExit` with what the builder says."""
    for name in ("pages", "site"):
        shutil.rmtree(folder / name, ignore_errors=True)
    copy_pages(folder / "pages")
    shutil.copy(CONFIGURATION, folder)
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "-f", CONFIGURATION.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the site cannot be built:\n{done.stdout}{done.stderr}")
    return folder / "site"


def copy_pages(folder: Path) -> None:
    """Copy everything that the site is made of."""
    shutil.copytree(ROOT / "docs", folder)
    places = {PurePosixPath(name): PurePosixPath(place) for name, place in TOP.items()}
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            places[PurePosixPath(path.relative_to(ROOT))] = PurePosixPath(path.relative_to(ROOT / "docs"))
    for source, place in places.items():
        if source.suffix == ".md":
            (folder / place).write_text(with_links((ROOT / source).read_text(), source, places))


def with_links(text: str, source: PurePosixPath, places: dict[PurePosixPath, PurePosixPath]) -> str:
    """Give the text of a page with links and pictures to where they are in the site."""

    def moved(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        to = address(target, source, places)
        return words if to is None else f"{mark}[{words}]({to})"

    def moved_picture(match: re.Match[str]) -> str:
        return f'{match[1]}="{address(match[2], source, places) or match[2]}"'

    lines, in_code = [], False
    for paragraph in re.split(r"(?m)(^\s*(?:```|~~~).*$)", text):
        fence = FENCE.match(paragraph)
        in_code = in_code != bool(fence)
        lines.append(paragraph if in_code or fence else PICTURE.sub(moved_picture, LINK.sub(moved, paragraph)))
    return "".join(lines)


def address(target: str, source: PurePosixPath, places: dict[PurePosixPath, PurePosixPath]) -> str | None:
    """Where a link of a page leads in the site; None where it names a file that is no part of the site."""
    file, _, part = target.partition("#")
    if not file or "://" in target or target.startswith("mailto:"):
        return target
    named = PurePosixPath(os.path.normpath(source.parent / file))
    if named not in places:
        return None
    to = os.path.relpath(places[named], places[source].parent)
    return f"{to}{'#' * bool(part)}{part}"


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]).resolve()) / 'index.html'}\n")
