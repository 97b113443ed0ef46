"""Keeps the modules of a scenario and those of loadstone apart in one process, where names may be the same.

Locust puts the current folder and the scenario's folder first on the import path, so a ``redis.py`` there is what
``import redis`` finds. loadstone's own imports look there last (`own_imports`). A library that only loadstone has
imported then makes way for the scenario's module of the same name (`make_way`); who has imported it already goes on
using it. What Locust itself has imported stays, as with plain Locust.

Only what Locust has imported already may be imported here: anything else could be the scenario's.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["guard_scenarios", "make_way", "own_imports", "prefer_installed"]

_PACKAGE: Final = "loadstone"
_PLUGIN: Final = "loadstone_hook.py"
_LATE_PARTS: Final = {
    "redis": ("redis.observability.recorder", "redis.observability.attributes", "redis.keyspace_notifications")
}
"""Parts that a library imports only when they are used: too late once its name means another module."""
_GUARDED: Final = "loadstone_guarded"
_own: dict[str, ModuleType] = {}
"""The top-level modules that only loadstone has imported."""


@contextmanager
def own_imports() -> Iterator[None]:
    """A block of imports that find what is installed before any module of the scenario."""
    folders = _scenario_folders()
    aside = {name: module for name, module in sys.modules.items() if _lies_in(name, folders)}
    for name in aside:
        del sys.modules[name]
    before = {name.partition(".")[0] for name in sys.modules}
    try:
        with _installed_first(folders):
            yield
            _import_late_parts(name for name in aside if name in sys.modules)
    finally:
        names = {name.partition(".")[0] for name in sys.modules} - before - {_PACKAGE}
        _own.update({name: sys.modules[name] for name in names if name in sys.modules})
        sys.modules.update(aside)


def make_way(*folders: str) -> None:
    """Forget loadstone's libraries whose names mean another module to code in these folders."""
    hidden = {name: found for name in _own if (found := _other_module(name, folders))}
    with _installed_first(folders):
        _import_late_parts(hidden)
    for name, found in hidden.items():
        for part in _hidden_by(found, name):
            sys.modules.pop(part, None)


def _other_module(name: str, folders: Collection[str]) -> ModuleSpec | None:
    """What these folders have in place of a library of loadstone; None if nothing, or if that is loaded already."""
    if sys.modules.get(name) is not _own[name]:
        return None
    found = _found_from(name, folders)
    return found if found and found.origin != getattr(_own[name].__spec__, "origin", None) else None


def guard_scenarios() -> None:
    """Let each file that Locust loads find its own modules, now and later, and leave this package as it is."""
    make_way(os.getcwd())  # noqa: PTH109
    main: Any = sys.modules.get("locust.main")
    if main is None or hasattr(main.load_locustfile, _GUARDED):
        return
    load: Callable[[str], Any] = main.load_locustfile

    def load_guarded(path: str) -> Any:
        make_way(os.path.dirname(path), os.getcwd())  # noqa: PTH109, PTH120  (as Locust puts them on the import path)
        ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == _PACKAGE}
        import_path = sys.path[:]
        try:
            return load(path)
        finally:
            sys.modules.update(ours)  # the scenario may be called loadstone.py
            if os.path.basename(path) == _PLUGIN:  # noqa: PTH119
                sys.path[:] = import_path  # Locust puts the current folder on it once for each file

    setattr(load_guarded, _GUARDED, True)
    main.load_locustfile = load_guarded


def _import_late_parts(names: Iterable[str]) -> None:
    for part in (part for name in names for part in _LATE_PARTS.get(name, ())):
        with suppress(Exception):  # what cannot be imported is not used later either
            importlib.import_module(part)


def prefer_installed() -> None:
    """Look for modules in the folders of PYTHONPATH, and in the current one, after all others from now on.

    For processes that never load a scenario: no redis.py there is meant for them.
    """
    with _installed_first([os.getcwd()]):  # noqa: PTH109
        path = sys.path[:]
    sys.path[:] = path


@contextmanager
def _installed_first(folders: Collection[str]) -> Iterator[None]:
    """An import path with the user's folders (PYTHONPATH) and then the scenario's at its end."""
    scenario = {os.path.abspath(folder) for folder in folders}  # noqa: PTH100
    path, user = sys.path[:], _user_folders() - scenario

    def rank(entry: str) -> int:
        place = os.path.abspath(entry)  # noqa: PTH100  (an entry need not be a folder)
        return 2 if place in scenario else 1 if place in user else 0

    sys.path.sort(key=rank)
    try:
        yield
    finally:
        sys.path[:] = path


def _user_folders() -> set[str]:
    """What stands before Python's own library on the import path: the folders of PYTHONPATH, and what Locust adds."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    before = takewhile(lambda entry: entry != library and os.path.basename(entry) != archive, sys.path)  # noqa: PTH119
    return {os.path.abspath(entry) for entry in before}  # noqa: PTH100


def _scenario_folders() -> set[str]:
    """The folders that Locust puts on the import path: the current one and those of its files."""
    from locust.argument_parser import parse_locustfile_option  # noqa: PLC0415  (the process has loaded it)

    options: Any = parse_locustfile_option()
    files = str(options.locustfile).split(",")
    return {os.getcwd(), *(os.path.dirname(os.path.abspath(file.strip())) for file in files)}  # noqa: PTH100, PTH109, PTH120


def _lies_in(name: str, folders: Collection[str]) -> bool:
    """Whether the top-level module of this name was found in one of the folders."""
    module = sys.modules.get(name.partition(".")[0])
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or getattr(module, "__name__", "") == _PACKAGE:
        return False
    place, base = os.path.split(os.path.abspath(file))  # noqa: PTH100
    return (os.path.dirname(place) if base.startswith("__init__.") else place) in folders  # noqa: PTH120


def _found_from(name: str, folders: Collection[str]) -> ModuleSpec | None:
    """What ``import name`` would find in these folders, or else on the import path as it is."""
    path = sys.path[:]
    sys.path[:0] = folders
    try:
        specs = (finder.find_spec(name, None, None) for finder in sys.meta_path)
        return next((spec for spec in specs if spec is not None), None)
    finally:
        sys.path[:] = path


def _hidden_by(found: ModuleSpec, name: str) -> list[str]:
    """The module, and those of its parts that the other one has too; the rest stays for late imports."""
    places = list(found.submodule_search_locations or ())

    def has(part: str) -> bool:
        relative = part.partition(".")[2].replace(".", os.sep)
        return any(os.path.exists(os.path.join(place, relative + end)) for place in places for end in (".py", ""))  # noqa: PTH110, PTH118

    return [name, *(part for part in sys.modules if part.startswith(f"{name}.") and has(part))]
