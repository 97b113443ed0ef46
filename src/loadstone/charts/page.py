"""The page: one HTML document with script, style and data inside, which loads nothing from anywhere else.

Names and texts of a run are JSON inside a ``<script type="application/json">`` whose ``<`` are escaped, and the page's
script shows them as text nodes only. A content security policy forbids every script that is not this page's own.
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.digests import REPORT_SEAL
from loadstone.archive.folder import replace_file
from loadstone.charts.archive_data import report_data
from loadstone.charts.catalogue import Catalogue, catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from loadstone.charts.page_data import ReportPage

__all__ = ["live_page", "still_page", "write_report"]

_HEAD: Final = """<!doctype html>
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
"""
_PAGE: Final = (
    _HEAD
    + """<body>
<main id="page"><noscript>{without_script}</noscript></main>
<script type="application/json" id="data">{data}</script>
{scripts}
</body>
</html>
"""
)
_STILL: Final = (
    _HEAD
    + """<body>
<main id="page">{body}</main>
</body>
</html>
"""
)
_REST: Final = "img-src data:; base-uri 'none'; form-action 'none'"
"""The end of every policy."""
_SCRIPTS: Final = ("uplot.js", "zoom.js", "charts.js", "parts.js", "summary.js", "page.js")


class _LivePage(msgspec.Struct, frozen=True, kw_only=True):
    """What a live page holds before it gets its first message."""

    mode: Literal["live"] = "live"
    catalogue: Catalogue


def write_report(folder: RunFolder, *, baseline: Sequence[Sequence[str]] = (), baseline_id: str = "") -> Path:
    """Write report.html of a closed run; returns its path. Raises `ArchiveError` when the run cannot be read.

    ``baseline``: rows of the table that compares the run with the run ``baseline_id``.
    """
    run = ClosedRun.open(folder)
    text = _report_page(report_data(run, baseline=baseline, baseline_id=baseline_id)).encode("utf-8", "replace")
    replace_file(folder.report, lambda path: _write(path, REPORT_SEAL.put(text, run.record.id)))
    return folder.report


def live_page() -> str:
    """The live page; its data comes from the server that it came from."""
    page = _LivePage(catalogue=catalogue())
    return _page(page, title="loadstone: live", without_script="The live page needs JavaScript.")


def still_page(*, title: str, body: str, style: str = "") -> str:
    """A page of HTML that needs no script, and may run none; ``style`` is added to that of all pages."""
    return _STILL.format(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; {_REST}",
        title=html.escape(title),
        style=_static("page.css") + style,
        body=body,
    )


def _report_page(page: ReportPage) -> str:
    state = page.state
    sentences = [f"Run {page.run}: {state.verdict}.", *(f"{reason}." for reason in state.reasons)]
    without_script = " ".join([*sentences, "The charts need JavaScript."])
    return _page(page, title=f"{state.verdict}: run {page.run}", without_script=without_script)


def _write(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def _page(page: ReportPage | _LivePage, *, title: str, without_script: str) -> str:
    return _PAGE.format(
        policy=_policy(connect="'self'" if page.mode == "live" else "'none'"),
        title=html.escape(title),
        style=_static("uplot.css") + _static("page.css"),
        without_script=html.escape(without_script),
        data=_json(page),
        scripts="\n".join(f"<script>{_static(name)}</script>" for name in _SCRIPTS),
    )


def _json(page: ReportPage | _LivePage) -> str:
    """JSON that cannot end the script element that contains it."""
    text = msgspec.json.encode(page).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(*, connect: str) -> str:
    scripts = " ".join(f"'sha256-{_digest(name)}'" for name in _SCRIPTS)
    return f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src {connect}; {_REST}"


@cache
def _static(name: str) -> str:
    return (files("loadstone.charts") / "static" / name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_static(name).encode()).digest()).decode()
