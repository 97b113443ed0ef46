"""The page: one HTML document that holds script, style and data, and asks nobody for anything.

All names and texts of a run travel as JSON inside a ``<script type="application/json">`` whose ``<`` are escaped, and
the page's script shows them as text nodes only; a content security policy forbids everything that is not this page's.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.closed_run import load_run
from loadstone.archive.folder import replace_file
from loadstone.charts.archive_data import archive_data
from loadstone.charts.catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["live_page", "report_page", "write_report"]

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>{without_script}</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{library}</script>
<script>{charts}</script>
<script>{script}</script>
</body>
</html>
"""
_SCRIPTS: Final = ("uplot.js", "charts.js", "page.js")
_BASELINE: Final = "baseline"


def report_page(
    folder: RunFolder, run: Mapping[str, Any], *, baseline: Sequence[Sequence[str]] = (), baseline_id: str = ""
) -> str:
    """The report of a closed run; ``baseline``: rows of the table that compares it with the run ``baseline_id``."""
    data = archive_data(folder, run)
    data["tables"][_BASELINE] = [list(row) for row in baseline]
    data["baseline"] = baseline_id
    title = f"{run['verdict']}: run {run['id']}"
    said = f"Run {run['id']}: {run['verdict']}. " + " ".join(f"{reason}." for reason in run["reasons"])
    return _page({"mode": "report", **data}, title=title, without_script=f"{said} The charts need JavaScript.")


def live_page() -> str:
    """The live page; its data comes from the server that it came from."""
    return _page({"mode": "live"}, title="loadstone: live", without_script="The live page needs JavaScript.")


def write_report(folder: RunFolder, **baseline: Any) -> Path:
    """Write report.html of a closed run. Raises `ArchiveError` when the run cannot be read."""
    text = report_page(folder, load_run(folder), **baseline)
    replace_file(folder.report, lambda path: _write(path, text))
    return folder.report


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


def _page(data: Mapping[str, Any], *, title: str, without_script: str) -> str:
    library, charts, script = (_static(name) for name in _SCRIPTS)
    return _PAGE.format(
        policy=_policy(connect="'self'" if data["mode"] == "live" else "'none'"),
        title=html.escape(title),
        style=_static("uplot.css") + _static("page.css"),
        without_script=html.escape(without_script),
        data=_json({"catalogue": catalogue(), **data}),
        library=library,
        charts=charts,
        script=script,
    )


def _json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(*, connect: str) -> str:
    scripts = " ".join(f"'sha256-{_digest(name)}'" for name in _SCRIPTS)
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src {connect}; {rest}"


@cache
def _static(name: str) -> str:
    return (files("loadstone.charts") / "static" / name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_static(name).encode()).digest()).decode()
