"""The rows of the table of attacks and faults, and the plugin with which pytest tells the parameters of the tests.

Parameters are computed by the modules of the tests, so pytest collects the tests with a mark and runs none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from support.tiers import ROOT, tier_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

__all__ = ["MarkedTest", "attack_rows", "rows_of"]

_TO: Final = "LOADSTONE_TEST_MARKS_TO"
_MARKED: Final = re.compile(r"\bmark\.(attack|fault)\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedTest:
    """One test with one set of parameters: its file in the repository, the id of the parameters, "" without any."""

    file: str
    inputs: str
    kind: str
    outcome: str


@dataclass(slots=True)
class _Row:
    """The tests of one line of the table."""

    inputs: dict[str, None] = field(default_factory=dict)
    """The ids, in their order."""
    plain: int = 0
    """How many tests have no parameters."""

    def cell(self) -> str:
        """How many inputs there are, and those that have a name."""
        count, names = self.plain + len(self.inputs), ", ".join(self.inputs)
        return f"<details><summary>{count}</summary>{_shown(names)}</details>" if names else str(count)


def attack_rows() -> list[tuple[str, ...]]:
    """The lines of the table: kind, its inputs, what must happen, and the command that runs the tests."""
    files = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if _MARKED.search(path.read_text()))
    return rows_of(_collected(path for path in files if path.parent.name != "repository"))


def rows_of(tests: Iterable[MarkedTest]) -> list[tuple[str, ...]]:
    """The lines for these tests: those of one kind and outcome in one tier share a line."""
    rows: dict[tuple[str, str, str], _Row] = {}
    for test in tests:
        row = rows.setdefault((test.kind, test.outcome, tier_of(test.file)), _Row())
        if test.inputs:
            row.inputs[test.inputs] = None
        else:
            row.plain += 1
    return [(kind, row.cell(), outcome, f"`make {tier}`") for (kind, outcome, tier), row in rows.items()]


def _shown(text: str) -> str:
    """A text inside of HTML inside of Markdown."""
    return re.sub(r"[<>&*_`\[\]]", lambda found: f"&#{ord(found.group())};", text)


def _collected(files: Iterable[Path]) -> list[MarkedTest]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "support.attack_table"]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "marks.json"
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), _TO: str(found)}
        arguments = [*command, *map(str, files)]
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return [MarkedTest(**test) for test in json.loads(found.read_text())]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the marked tests into the file that the environment names; pytest calls this."""
    marked = [asdict(test) for item in session.items for test in _marked(item)]
    Path(os.environ[_TO]).write_text(json.dumps(marked))


def _marked(item: Any) -> Iterable[MarkedTest]:
    inputs = item.callspec.id if hasattr(item, "callspec") else ""
    file = str(item.path.relative_to(ROOT))
    for mark in item.iter_markers("attack"):
        kind, outcome = _attack(*mark.args, **mark.kwargs)
        yield MarkedTest(file=file, inputs=inputs, kind=kind, outcome=outcome)
    for mark in item.iter_markers("fault"):
        what, verdict, shown = _fault(*mark.args, **mark.kwargs)
        yield MarkedTest(file=file, inputs=inputs, kind=what, outcome=f"verdict {verdict}; told: {shown}")


def _attack(kind: str, outcome: str) -> tuple[str, str]:
    """The arguments of the mark, by position or by name."""
    return kind, outcome


def _fault(what: str, verdict: str, shown: str) -> tuple[str, str, str]:
    return what, verdict, shown
