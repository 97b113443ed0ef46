"""Draw docs/images/architecture.svg from architecture.dot: ``python site/architecture.py``, or ``make architecture``.

Graphviz, compiled to WebAssembly, comes from npm into .cache; Node.js runs it. The picture follows the reader's choice
of light or dark.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TEXT: Final = ROOT / "docs" / "images" / "architecture.dot"
PICTURE: Final = TEXT.with_suffix(".svg")
PACKAGE: Final = "@viz-js/viz@3.31.0"
CACHE: Final = ROOT / ".cache" / "graphviz" / PACKAGE.rpartition("@")[2]
DRAW: Final = """
import { instance } from "./package/dist/viz.js";
import { readFileSync } from "node:fs";
process.stdout.write((await instance()).renderString(readFileSync(0, "utf8"), { format: "svg", engine: "dot" }));
"""
STYLE: Final = """<style>
svg { color-scheme: light dark; }
text { fill: #1f2933; }
.part path { fill: #eef4fb; stroke: #3d6ea5; }
.store path { fill: #fdf3e1; stroke: #b7791f; }
.group path { fill: none; stroke: #9aa5b1; }
.edge path { stroke: #616e7c; }
.edge polygon { fill: #616e7c; stroke: #616e7c; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb; }
  .part path { fill: #1f3147; stroke: #6ea8e5; }
  .store path { fill: #3a2f1a; stroke: #e0b15e; }
  .group path { stroke: #616e7c; }
  .edge path { stroke: #9aa5b1; }
  .edge polygon { fill: #9aa5b1; stroke: #9aa5b1; }
}
</style>"""
"""Graphviz writes colours as attributes, which any rule of a style sheet overrides."""


def main() -> None:
    """Draw the picture. Raises `SystemExit` with what npm or Node.js says."""
    program = CACHE / "draw.mjs"
    if not (CACHE / "package").is_dir():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        run("npm", "pack", "--silent", PACKAGE)
        shutil.unpack_archive(next(CACHE.glob("*.tgz")), CACHE)
    program.write_text(DRAW)
    PICTURE.write_text(styled(run("node", program.name, given=TEXT.read_text())))


def styled(svg: str) -> str:
    """The drawing without Graphviz's version and time, and with the style sheet."""
    drawn = svg[svg.index("<svg") :]
    without_comments = re.sub(r"<!--.*?-->\n", "", drawn, flags=re.DOTALL)
    return re.sub(r"(<svg[^>]*>)", rf"\1\n{STYLE}", without_comments, count=1)


def run(*command: str, given: str | None = None) -> str:
    """Run a command in the cache; its output."""
    done = subprocess.run(command, cwd=CACHE, input=given, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    main()
