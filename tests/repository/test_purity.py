"""What import-linter cannot see: who does I/O, reads a clock or the environment, or opens a file of a run folder."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

# Modules without I/O and without a clock; datetime is here for its types, now() and today() are refused by name.
PURE = {
    *("__future__", "abc", "array", "base64", "binascii", "bisect", "builtins", "collections", "contextlib", "copy"),
    *("dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "html"),
    *(
        "ipaddress",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "random.Random",
        "re",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "types",
    ),
    *("typing", "unicodedata", "urllib.parse", "uuid", "zlib"),
    *("loadstone", "msgspec", "numpy", "typing_extensions"),
}
IMPURE_CALLS = {"input", "open", "print", "breakpoint"}
CLOCKS = {"now", "utcnow", "today", "uuid1", "uuid4"}
SEEDED = {"default_rng", "Generator"}
PARQUET_READERS = {"ParquetDataset", "ParquetFile", "read_metadata", "read_pandas", "read_schema", "read_table"}
RUN_FILES = {
    *("run_json", "requests", "rollups", "usage", "events"),
    *("stats_csv", "stats_history_csv", "failures_csv", "exceptions_csv"),
}
FILE_SERVER = "loadstone.collector.live.app"
"""Sends files of a run folder to browsers as they are, without looking into them."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the full name of what is imported, where, and whether it is for type checkers or in a function."""

    name: str
    line: int
    for_types_only: bool
    lazy: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the code base, by its full name."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package directly under loadstone that it belongs to; empty for ``loadstone`` itself."""
        return [*self.name.split("."), ""][1]

    def where(self, line: int) -> str:
        """Return a place as people read it."""
        return f"{self.name}:{line}"


def read_modules(root: Path) -> list[Module]:
    """Read every module under a source folder."""
    modules = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return modules


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a node is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """Return the full name of the module that a ``from`` import names."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    levels_up = node.level - (module.path.name == "__init__.py")
    base = parts[: len(parts) - levels_up]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports_of(module: Module) -> Iterator[Import]:
    """Find every import of a module, inside functions too; ``from a import b`` counts as ``a.b``."""
    typed = {id(child) for node in ast.walk(module.tree) if is_type_checking(node) for child in walk_body(node)}
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lazy = {id(child) for node in functions for child in ast.walk(node)}
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{absolute(module, node)}.{alias.name}" for alias in node.names]
        for name in names:
            yield Import(name, node.lineno, id(node) in typed, id(node) in lazy)


def walk_body(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through the body of an ``if``, without its ``else``."""
    assert isinstance(node, ast.If)
    for statement in node.body:
        yield from ast.walk(statement)


def within(imported: str, name: str) -> bool:
    """Tell whether an imported name is ``name`` or something in it."""
    return imported == name or imported.startswith(name + ".")


def environment_readers(modules: list[Module]) -> list[str]:
    """Find uses of the process environment outside ``settings``."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    found = []
    for module in modules:
        if module.package == "settings":
            continue
        for node in ast.walk(module.tree):
            attribute = isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os"
            imported = isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names}
            if attribute or imported:
                found.append(f"{module.where(node.lineno)} reads the environment")
    return found


def impurities(modules: list[Module]) -> list[str]:
    """Find I/O and clocks in ``domain``: imports that are not known to be pure, and calls by name."""
    found = []
    for module in modules:
        if module.package != "domain":
            continue
        for imported in imports_of(module):
            pure = any(within(imported.name, name) for name in PURE)
            if not (pure or imported.for_types_only):
                found.append(f"{module.where(imported.line)} imports {imported.name}, which PURE does not list")
        found += [f"{module.where(call.lineno)} calls {ast.unparse(call.func)}" for call in impure_calls(module)]
    return found


def impure_calls(module: Module) -> Iterator[ast.Call]:
    """Find calls that read a clock, draw unseeded random numbers, or do I/O."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        plain = isinstance(function, ast.Name) and function.id in IMPURE_CALLS | CLOCKS
        clock = isinstance(function, ast.Attribute) and function.attr in CLOCKS
        drawn = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", ast.unparse(function))
        if plain or clock or (drawn and drawn[1] not in SEEDED):
            yield node


def readers_of_run_folders(modules: list[Module]) -> list[str]:
    """Find modules outside ``archive`` that read Parquet, or get at a file of a run folder by its path."""
    found = []
    for module in modules:
        if module.package == "archive" or module.name == FILE_SERVER:
            continue
        found += [
            f"{module.where(node.lineno)} reads a run folder: {ast.unparse(node)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.expr) and (reads_parquet(node) or names_a_run_file(node))
        ]
    return found


def reads_parquet(node: ast.expr) -> bool:
    """Tell whether an expression is one of the readers of pyarrow.parquet, such as ``pq.read_table``."""
    if not isinstance(node, ast.Attribute) or node.attr not in PARQUET_READERS:
        return False
    return ast.unparse(node.value).rpartition(".")[2] in {"pq", "parquet"}


def names_a_run_file(node: ast.expr) -> bool:
    """Tell whether an expression is the path of a file of a run: ``folder.rollups``, ``folder.path / "run.json"``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return ast.unparse(node.left).endswith("folder.path")
    return isinstance(node, ast.Attribute) and node.attr in RUN_FILES and ast.unparse(node.value).endswith("folder")


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read_modules(SOURCE)


def test_only_settings_reads_the_environment(modules: list[Module]):
    assert environment_readers(modules) == []


def test_the_domain_has_no_io_and_no_clock(modules: list[Module]):
    assert impurities(modules) == []


def test_only_the_archive_reads_run_folders(modules: list[Module]):
    assert readers_of_run_folders(modules) == []


# The checkers themselves: each has to find what it is for in a small code base, and nothing in a clean one.


def code_base(folder: Path, **files: str) -> list[Module]:
    """Write modules (``a__b`` is loadstone/a/b.py) and read them."""
    for name, text in {"__init__": "", **files}.items():
        package, _, module = name.partition("__")
        path = folder / "loadstone" / (f"{package}/{module}.py" if package and module else f"{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_modules(folder)


@pytest.mark.parametrize(
    "text", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import path, environ"]
)
def test_a_reader_of_the_environment_is_found(tmp_path: Path, text: str):
    modules = code_base(tmp_path, launch__a=text, settings__load=text, stream__b="import os\nos.getpid()")
    assert [found.split(":")[0] for found in environment_readers(modules)] == ["loadstone.launch.a"]


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from os import path",
        "import redis",
        "from urllib.request import urlopen",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.date.today()",
        "open('x')",
        "def f():\n    print(1)",
        "import numpy as np\nnp.random.rand(3)",
        "import uuid\nuuid.uuid4()",
    ],
)
def test_io_and_clocks_in_the_domain_are_found(tmp_path: Path, text: str):
    assert len(impurities(code_base(tmp_path, domain__a=text, stream__b=text))) == 1


def test_pure_code_is_fine_in_the_domain(tmp_path: Path):
    text = "import numpy as np\nfrom collections.abc import Sequence\nnp.random.default_rng(1).random()\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pathlib import Path\n"
    assert impurities(code_base(tmp_path, domain__a=text + typed)) == []


def test_everything_in_the_list_of_pure_modules_exists():
    stdlib = {name for name in PURE if name.split(".")[0] in sys.stdlib_module_names}
    assert PURE - stdlib == {"loadstone", "msgspec", "numpy", "typing_extensions"}


@pytest.mark.parametrize(
    "text",
    [
        "import pyarrow.parquet as pq\npq.read_table('x')",
        "import pyarrow.parquet\npyarrow.parquet.ParquetFile('x')",
        "import json\ndef f(folder):\n    return json.loads(folder.run_json.read_text())",
        "import json\ndef f(folder):\n    return json.loads((folder.path / 'run.json').read_bytes())",
        "def f(run):\n    with run.folder.events.open() as lines:\n        return list(lines)",
    ],
)
def test_a_reader_of_a_run_folder_is_found_outside_the_archive(tmp_path: Path, text: str):
    modules = code_base(tmp_path, charts__a=text, archive__closed_run=text)
    assert [found.split(":")[0] for found in readers_of_run_folders(modules)] == ["loadstone.charts.a"]


def test_reading_through_a_closed_run_and_writing_parquet_are_fine_everywhere(tmp_path: Path):
    text = "import pyarrow.parquet as pq\ndef f(run, file):\n    pq.ParquetWriter(file, run.rollups().schema)\n"
    assert readers_of_run_folders(code_base(tmp_path, report__a=text)) == []
