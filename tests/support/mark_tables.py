"""The tables of the docs that are made from the marks ``conforms``, ``fault`` and ``attack`` of the tests.

``make tables`` writes them between their markers. The marks ``conforms`` and ``fault`` are read from the source text of
the tests, so nothing of them is run or imported, and their arguments have to be written out. The table of attacks
counts the tests' parameters, which only pytest knows: `support.attack_table` has it collect them.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.attack_table import attack_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TABLES", "AttackTable", "MarkError", "Table", "TableOnPage", "marks_of", "write"]

ROOT: Final = Path(__file__).resolve().parents[2]


class MarkError(Exception):
    """A mark or a page from which no table can be made; the text says where and what to write instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableOnPage(ABC):
    """One mark, and its table between two markers on a page."""

    mark: str
    page: Path
    columns: tuple[str, ...]

    @abstractmethod
    def rows(self) -> list[tuple[str, ...]]:
        """The cells of every line below the headings."""

    @property
    def begin(self) -> str:
        """The line above the table."""
        return f"<!-- table of {self.mark} marks: make tables -->"

    @property
    def end(self) -> str:
        """The line below the table."""
        return f"<!-- end of {self.mark} marks -->"

    def text(self) -> str:
        """The table in Markdown."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows()]
        return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)

    def written(self) -> str:
        """The table as the page has it."""
        return self._parts()[1].strip("\n")

    def write(self) -> None:
        """Put the table as it should be on the page."""
        above, _, below = self._parts()
        self.page.write_text(f"{above}{self.begin}\n\n{self.text()}\n\n{self.end}{below}")

    def _parts(self) -> tuple[str, str, str]:
        page = self.page.read_text()
        above, begun, rest = page.partition(self.begin)
        table, ended, below = rest.partition(self.end)
        if not (begun and ended):
            raise MarkError(f"{self.page.name} has no place for the table: write the lines {self.begin} and {self.end}")
        return above, table, below


@dataclass(frozen=True, kw_only=True, slots=True)
class Table(TableOnPage):
    """The table of a mark that tests in one folder carry: a column for each argument of the mark."""

    folder: Path
    arguments: tuple[str, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """The arguments of every mark, in the order of the files and of the lines in them; equal rows once."""
        files = sorted(self.folder.rglob("test_*.py"))
        found = [row for path in files for row in marks_of(path, self.mark, self.arguments)]
        return list(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackTable(TableOnPage):
    """The table of everything that tests do to loadstone on purpose: the marks ``attack`` and ``fault``."""

    def rows(self) -> list[tuple[str, ...]]:
        """A line for each kind, what must happen, and command that runs it."""
        return attack_rows()


def marks_of(path: Path, mark: str, arguments: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The arguments of every ``pytest.mark.<mark>(...)`` of a file: decorators, and marks of ``pytest.param``.

    A mark inside of a comprehension over a dict of the module may take its keys: ``for kind, case in CASES.items()``.
    """
    tree = ast.parse(path.read_text())
    calls = sorted(_calls(tree, mark), key=lambda call: (call.lineno, call.col_offset))
    return [row for call in calls for row in _rows(call, arguments, _bound(tree, call), f"{path.name}:{call.lineno}")]


def _calls(tree: ast.AST, mark: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"pytest.mark.{mark}", f"mark.{mark}"}:
            yield node


def _bound(tree: ast.Module, call: ast.Call) -> dict[str, list[str]]:
    """The names that a comprehension around a mark binds to the keys of a dict of the module, each with the keys."""
    bound: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ListComp | ast.GeneratorExp) and call in ast.walk(node):
            target, source = node.generators[0].target, ast.unparse(node.generators[0].iter)
            key = target.elts[0] if isinstance(target, ast.Tuple) else target
            bound[ast.unparse(key)] = _keys(tree, source.removesuffix(".items()"))
    return bound


def _keys(tree: ast.Module, name: str) -> list[str]:
    """The keys of the dict that a module assigns to a name; none if it assigns no such dict."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(each, ast.Name) and each.id == name for each in targets):
            return [str(key.value) for key in value.keys if isinstance(key, ast.Constant)]
    return []


def _rows(
    call: ast.Call, arguments: tuple[str, ...], bound: dict[str, list[str]], where: str
) -> Iterator[tuple[str, ...]]:
    """The texts of one mark's arguments, given by position or by name: one row, or one for each bound key."""
    named = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    given = {**dict(zip(arguments, call.args, strict=False)), **named}
    texts = {name: _texts(node, bound) for name, node in given.items()}
    complete = len(call.args) + len(call.keywords) == len(arguments) and set(texts) == set(arguments)
    if not complete or not all(choices and all(map(str.strip, choices)) for choices in texts.values()):
        raise MarkError(f"{where}: the mark takes {', '.join(arguments)}, each a text that is written out")
    count = max(map(len, texts.values()))
    yield from zip(*(texts[name] * (count if len(texts[name]) == 1 else 1) for name in arguments), strict=True)


def _texts(node: ast.expr, bound: dict[str, list[str]]) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return bound.get(node.id, []) if isinstance(node, ast.Name) else []


def _cell(value: str) -> str:
    """A text in one cell: on one line, and with no end of the cell in it."""
    return " ".join(value.split()).replace("|", "\\|")


TABLES: Final[tuple[TableOnPage, ...]] = (
    Table(
        mark="conforms",
        folder=ROOT / "tests" / "conformance",
        page=ROOT / "docs" / "reference" / "locust-compatibility.md",
        arguments=("kind", "result"),
        columns=("kind of Locust file", "loadstone compared with plain Locust"),
    ),
    Table(
        mark="fault",
        folder=ROOT / "tests" / "processes" / "faults",
        page=ROOT / "docs" / "reference" / "verdict.md",
        arguments=("what", "verdict", "shown"),
        columns=("what happens", "verdict", "what the outputs say"),
    ),
    AttackTable(
        mark="attack",
        page=ROOT / "docs" / "explanation" / "what-is-tested.md",
        columns=("kind", "inputs", "what must happen", "run by"),
    ),
)


def write() -> None:
    """Write every table."""
    for table in TABLES:
        table.write()


if __name__ == "__main__":
    write()
