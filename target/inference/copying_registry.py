"""A registry in a SQLite file, read through copies that are good as long as the file has the same content.

MLflow's client with its stores takes five seconds and 250 MB of the process that imports it. Here a child process
copies what a target serves, so the serving process never needs that memory, whether there were copies before or not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference import errors
from inference.errors import ModelRefusedError, RegistryAwayError, TargetError
from inference.model_info import ModelInfo, Version, read_model_info
from inference.registry import Registry

if TYPE_CHECKING:
    from inference.settings import ModelUri, Settings

_SQLITE: Final = "sqlite:///"
_BESIDE: Final = ("-wal", "-journal")
"""Files in which SQLite keeps what is not in the database yet, or what a rollback would restore."""
_STATE: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = "version.json"
_DIGEST: Final = "digest"
_ERROR: Final = "error.json"
_DESCRIPTION: Final = "description"
_GRAPH: Final = "graph"
_SETTLED_NS: Final = 2_000_000_000
"""Some file systems note the time of a write only to two seconds."""
_TIMEOUT_S: Final = 120
_TRIES: Final = 2
"""Reading a registry that was left with a log of writes puts them into the database, which is then another state."""


def open_registry(settings: Settings, *, in_child: bool = True) -> Registry:
    """Open the registry of the settings, through copies where these ask for them and it is a SQLite file."""
    if settings.copies is None or not settings.tracking_uri.startswith(_SQLITE):
        return Registry(settings.tracking_uri)
    return CopyingRegistry(settings.tracking_uri, settings.copies, in_child=in_child)


class CopyingRegistry(Registry):
    """Answers from copies of the version that a model URI names: its description and its graph, not the model itself.

    A copy that cannot be made or read is as good as none: then the registry is asked as ever.
    """

    def __init__(self, tracking_uri: str, copies: Path, *, in_child: bool = True) -> None:
        """Let a child process make the copies, or make them here, where MLflow is imported anyway."""
        super().__init__(tracking_uri)
        self._copy_into = _copy_in_child if in_child else copy_version
        self._file = Path(tracking_uri.removeprefix(_SQLITE)).resolve()  # where SQLite puts the files beside it
        self._copies = copies
        self._seen: tuple[object, str] | None = None
        self._copy: Path | None = None
        self._version: Version | None = None

    def resolve(self, uri: ModelUri) -> Version:
        """See `Registry.resolve`."""
        mine = self._copies / _hash(f"{self.uri}\n{uri.text}".encode())
        for _ in range(_TRIES):
            state = self._state()
            if state is None:
                break
            if self._version is None or self._copy != mine / state:
                self._copy, self._version = mine / state, _version_in(mine / state) or self._copied(uri, mine / state)
            if self._version is not None:
                return self._version
        self._copy = self._version = None
        return super().resolve(uri)

    def fetch_model_info(self, version: Version, folder: Path) -> ModelInfo:
        """See `Registry.fetch_model_info`."""
        if copy := self._private_copy(version, _DESCRIPTION, folder / "copied"):
            with contextlib.suppress(OSError, ValueError):
                return read_model_info(version, copy)
        return super().fetch_model_info(version, folder)

    def fetch_run_folder(self, version: Version, name: str, folder: Path) -> Path | None:
        """See `Registry.fetch_run_folder`."""
        copy = self._private_copy(version, f"{_GRAPH}/{name}", folder)
        return copy or super().fetch_run_folder(version, name, folder)

    def _state(self) -> str | None:
        """Hash the content of the registry; None when there is none yet. What nobody has touched is not read again."""
        try:
            stats = [_stat(file) for file in self._files()]
            if self._seen is None or self._seen[0] != stats:
                state = _hash(*(_hash(_content(file)).encode() for file in self._files()))
                self._seen = (stats, state)
        except OSError:
            return None
        state = self._seen[1]
        if max(each[2] for each in stats if each) > time.time_ns() - _SETTLED_NS:
            self._seen = None
        return state

    def _files(self) -> list[Path]:
        beside = [self._file.with_name(self._file.name + ending) for ending in _BESIDE]
        if not self._file.is_file():
            raise FileNotFoundError(self._file)
        return [*beside, self._file]  # the log first: a checkpoint in between then gives a state that never was

    def _copied(self, uri: ModelUri, folder: Path) -> Version | None:
        """Have a child process make the copies; None where it could not.

        Raises:
            ModelMissingError: the registry has no such model, version or alias.
            RegistryAwayError: the registry is unavailable.

        """
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as scratch:
                made = Path(scratch) / "copy"
                self._copy_into(self.uri, uri, made)
                if folder.name != self._state():
                    return None  # written to meanwhile: nobody can say which state it is of
                (made / _DIGEST).write_text(_digest(made), encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)  # a damaged one
                made.rename(folder)
            for other in folder.parent.iterdir():
                if other != folder and _STATE.fullmatch(other.name):
                    shutil.rmtree(other, ignore_errors=True)
        except OSError:
            return None
        return _version_in(folder)

    def _private_copy(self, version: Version, name: str, folder: Path) -> Path | None:
        """Copy a part to where no other target can remove it; None where there is no whole copy of that version."""
        if self._copy is None or version != self._version:
            return None
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="target-") as scratch:
            whole = Path(shutil.copytree(self._copy, Path(scratch) / "copy"))
            if _version_in(whole) == version and (whole / name).is_dir():
                return Path(shutil.copytree(whole / name, folder, dirs_exist_ok=True))
        return None


def copy_version(tracking_uri: str, uri: ModelUri, into: Path) -> None:
    """Copy what a target serves from a registry into a new folder.

    Raises:
        ModelMissingError: the registry has no such model, version or alias.
        RegistryAwayError: the registry is unavailable.

    """
    from inference.compiling import folder_name  # noqa: PLC0415

    registry = Registry(tracking_uri)
    version = registry.resolve(uri)
    for folder in (into / _DESCRIPTION, into / _GRAPH):
        folder.mkdir(parents=True)
    with contextlib.suppress(ModelRefusedError):  # said by whoever reads the description, and once for each version
        name = folder_name(registry.fetch_model_info(version, into / _DESCRIPTION))
        graph = registry.fetch_run_folder(version, name, into / _GRAPH)
        if graph is not None and graph != into / _GRAPH / name:
            shutil.copytree(graph, into / _GRAPH / name)
    (into / _VERSION).write_text(json.dumps(asdict(version)), encoding="utf-8")


def copy_command(settings: Settings, into: Path) -> int:
    """Copy what a target serves into a folder, or write there why that cannot be; return 0 in both cases."""
    try:
        copy_version(settings.tracking_uri, settings.model_uri, into)
    except TargetError as error:
        into.mkdir(parents=True, exist_ok=True)
        told = {"kind": type(error).__name__, "what": error.what, "hint": error.hint}
        (into / _ERROR).write_text(json.dumps(told), encoding="utf-8")
    return 0


def _copy_in_child(tracking_uri: str, uri: ModelUri, made: Path) -> None:
    """Run `copy_command` in a process of its own; raise the error that it met."""
    package = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "MODEL_URI": uri.text, "MLFLOW_TRACKING_URI": tracking_uri, "PYTHONPATH": paths}
    command = [sys.executable, "-P", "-m", "inference", "copy", "--into", str(made)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as slow:
        raise RegistryAwayError(f"the registry {tracking_uri} takes longer than {_TIMEOUT_S} s to answer") from slow
    if (made / _ERROR).is_file():
        told: dict[str, Any] = json.loads((made / _ERROR).read_text(encoding="utf-8"))
        raise getattr(errors, told["kind"])(told["what"], told["hint"])
    if done.returncode != 0:
        raise OSError(f"the copy failed: {done.stderr.strip()[-300:]}")


def _version_in(folder: Path) -> Version | None:
    """Read the version of a copy; None where there is no whole one."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        if (folder / _DIGEST).read_text(encoding="utf-8") == _digest(folder):
            return Version(**json.loads((folder / _VERSION).read_text(encoding="utf-8")))
    return None


def _digest(folder: Path) -> str:
    """Hash the names and contents of a folder's files: a copy may have been cut off with the machine's power."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _DIGEST)
    return _hash(*(f"{path.relative_to(folder)} {_hash(path.read_bytes())}\n".encode() for path in files))


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _content(file: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes()
    return b""


def _stat(file: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(FileNotFoundError):
        found = file.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None
