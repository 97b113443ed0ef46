"""A registry in a SQLite file, with copies of what was fetched from it, good for as long as the file is unchanged.

With copies the target starts in a second instead of six: MLflow's client and its stores take most of the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from inference.model_info import ModelInfo, Version, example_path, read_model_info
from inference.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.settings import ModelUri, Settings

_SQLITE: Final = "sqlite:///"
_VERSION: Final = "version.json"
_DESCRIPTION: Final = "description"


def open_registry(settings: Settings) -> Registry:
    """Open the registry of the settings, with copies where these ask for them and the registry is a SQLite file."""
    if settings.copies is None or not settings.tracking_uri.startswith(_SQLITE):
        return Registry(settings.tracking_uri)
    return KeptRegistry(settings.tracking_uri, settings.copies)


class KeptRegistry(Registry):
    """Keeps copies of the version that a model URI names, its description and the folders of its run.

    They lie in a folder named for the state of the registry's file, so any write to the registry makes them useless. A
    copy that cannot be written or read is as good as none. The model itself is not copied.
    """

    def __init__(self, tracking_uri: str, copies: Path) -> None:
        super().__init__(tracking_uri)
        self._file = Path(tracking_uri.removeprefix(_SQLITE))
        self._copies = copies
        self._kept: Path | None = None

    def resolve(self, uri: ModelUri) -> Version:
        """See `Registry.resolve`."""
        self._kept = self._folder_of(uri)  # of the state before the registry is asked: it may change meanwhile
        if self._kept is None:
            return super().resolve(uri)
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Version(**json.loads((self._kept / _VERSION).read_text(encoding="utf-8")))
        version = super().resolve(uri)
        self._forget_other_states(self._kept)
        self._keep_version(self._kept, version)
        return version

    def fetch_model_info(self, version: Version, folder: Path) -> ModelInfo:
        """See `Registry.fetch_model_info`."""
        if kept := self._found(version, _DESCRIPTION):
            return read_model_info(version, kept)
        found = super().fetch_model_info(version, folder)
        self._keep(_DESCRIPTION, lambda place: _copy_description(folder, place), version)
        return found

    def fetch_run_folder(self, version: Version, name: str, folder: Path) -> Path | None:
        """See `Registry.fetch_run_folder`."""
        place = f"run-{quote(name, safe='')}"
        if kept := self._found(version, place):
            return kept
        found = super().fetch_run_folder(version, name, folder)
        if found is not None:
            self._keep(place, lambda into: shutil.copytree(found, into), version)
        return found

    def _folder_of(self, uri: ModelUri) -> Path | None:
        """Name the folder of a model URI in the present state of the registry; None when there is no registry yet."""
        files = (self._file, self._file.with_name(f"{self._file.name}-wal"))  # a log of writes, where SQLite keeps one
        states = [(now.st_ino, now.st_size, now.st_mtime_ns) if (now := _stat(file)) else None for file in files]
        if states[0] is None:
            return None
        state = json.dumps([self.uri, uri.text, states])
        return self._copies / hashlib.sha256(state.encode()).hexdigest()[:32]

    def _found(self, version: Version, name: str) -> Path | None:
        """Find the whole copy of that name, unless it is of another version than the one last resolved."""
        if self._kept is None or not self._is_of(version):
            return None
        place = self._kept / name
        with contextlib.suppress(OSError):
            if place.with_name(f"{name}.sha256").read_text(encoding="utf-8") == _digest(place):
                return place
        shutil.rmtree(place, ignore_errors=True)
        return None

    def _is_of(self, version: Version) -> bool:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return self._kept is not None and json.loads((self._kept / _VERSION).read_text()) == asdict(version)
        return False

    def _keep(self, name: str, copy: Callable[[Path], object], version: Version) -> None:
        """Keep a folder under a name, whole or not at all."""
        if self._kept is None or not self._is_of(version):
            return
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=self._kept, prefix="new-") as scratch:
            place = Path(scratch) / name
            copy(place)
            place.with_name(f"{name}.sha256").write_text(_digest(place), encoding="utf-8")
            for each in (place, place.with_name(f"{name}.sha256")):
                each.rename(self._kept / each.name)

    def _keep_version(self, kept: Path, version: Version) -> None:
        with contextlib.suppress(OSError):
            kept.mkdir(parents=True, exist_ok=True)
            written = kept / f"{_VERSION}.{os.getpid()}"
            written.write_text(json.dumps(asdict(version)), encoding="utf-8")
            written.rename(kept / _VERSION)

    def _forget_other_states(self, kept: Path) -> None:
        with contextlib.suppress(OSError):
            for other in self._copies.iterdir():
                if other != kept:
                    shutil.rmtree(other, ignore_errors=True)


def _digest(folder: Path) -> str:
    """Hash the names and contents of a folder's files: a copy may have been cut off with the machine's power."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _stat(file: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return file.stat()
    return None


def _copy_description(folder: Path, place: Path) -> None:
    place.mkdir()
    shutil.copy(folder / "MLmodel", place)
    example = example_path(folder / "MLmodel")
    if example is not None and (folder / example).is_file():
        (place / example).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / example, place / example)
