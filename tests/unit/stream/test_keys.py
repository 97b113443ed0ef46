"""Every key, stream, group and entry field of Redis is spelled in `loadstone.stream.keys` alone."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import loadstone
from loadstone.stream import client, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

SRC: Final = Path(loadstone.__file__).parent
OTHERS: Final = sorted(path for path in SRC.rglob("*.py") if path != Path(keys.__file__))

UNMISTAKABLE: Final = re.compile(
    r"(open_runs|dead_letters(:influx)?|influx_open|influx_cut|lease:.*|names:|live:|influx:|.*:number)"
)
"""Texts that can be nothing but a key, or the beginning of one."""

ORDINARY_WORDS: Final = frozenset(
    {keys.SAMPLES, keys.EVENTS, keys.USAGE, keys.POINTS, keys.BACKFILL_QUEUE, keys.WRITERS, keys.AGGREGATORS}
)
"""Names that are also words of the command line, of JSON and of HTML: keys only where a Redis command gets them."""

COMMANDS: Final = re.compile(r"(x[a-z]+|h[a-z]+|s(add|rem|members|ismember)|get|set|delete|exists|expire|eval)$")


def texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def spelled(tree: ast.Module) -> Iterator[str]:
    yield from (text for text in texts(tree) if UNMISTAKABLE.fullmatch(text))
    yield from (text for text in texts(tree) if re.search(r"~(samples|events|usage|points)\b", text))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            redis_like = "client" in ast.unparse(node.func.value) or "pipeline" in ast.unparse(node.func.value)
            if redis_like and COMMANDS.match(node.func.attr):
                yield from (text for each in node.args[:1] for text in texts(each) if text in ORDINARY_WORDS)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(SRC)))
def test_no_other_module_spells_a_key_of_redis(path: Path) -> None:
    assert list(spelled(ast.parse(path.read_text()))) == []


def test_a_key_that_is_spelled_is_found() -> None:
    """The test above can fail."""
    assert list(spelled(ast.parse('client.xadd("samples", {})'))) == ["samples"]
    assert list(spelled(ast.parse('key = f"live:{run}"'))) == ["live:"]
    assert list(spelled(ast.parse('rules = "resetkeys %W~usage +xadd"'))) == ["resetkeys %W~usage +xadd"]


def test_only_one_module_puts_entries_into_streams() -> None:
    found = [path for path in OTHERS if re.search(r"\.xadd\(", path.read_text())]
    assert found == [Path(client.__file__)]


def test_every_key_has_a_docstring() -> None:
    """Of a constant it is the text behind it; a function has its own."""
    body = ast.parse(Path(keys.__file__).read_text()).body
    documented = {
        node.target.id
        for node, text in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    } | {node.name for node in body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)}
    assert documented == set(keys.__all__)
