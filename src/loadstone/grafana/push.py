"""Push folder, data source and boards to Grafana. Pushing again changes nothing.

Nothing that loadstone did not create is changed: the folder is created but never changed, a data source of the same uid
is changed only if it has loadstone's mark, and a board only if it is in that folder and has loadstone's tag.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadstone.grafana.api import GrafanaApi

__all__ = ["DATA_SOURCE_UID", "FOLDER_UID", "DataSource", "push", "read_boards"]

FOLDER_UID: Final = "loadstone"
FOLDER_TITLE: Final = "loadstone"
DATA_SOURCE_UID: Final = "loadstone-influxdb"
TAG: Final = "loadstone"
_MARK: Final = "managedBy"
_BOARDS: Final = (Path(__file__).parents[3] / "dashboards", Path(__file__).with_name("dashboards"))
"""The folder of a checkout, and that of the installed package (pyproject.toml)."""
_INT32_MAX: Final = 2**31 - 1
_REVISION: Final = "revision"
"""Field of a board that identifies the content pushed: Grafana itself rewrites boards of an older schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """InfluxDB as Grafana reaches it: its address, the bucket, and a token ("" for none)."""

    url: str
    bucket: str
    token: str = ""

    def content(self) -> Mapping[str, Any]:
        """The data source in the form of Grafana's API."""
        secret = {"httpHeaderName1": "Authorization"} if self.token else {}
        content = {
            "name": DATA_SOURCE_UID,
            "uid": DATA_SOURCE_UID,
            "type": "influxdb",
            "access": "proxy",
            "url": self.url,
            "jsonData": {
                "dbName": self.bucket,
                "httpMode": "POST",
                "timeInterval": "1s",
                "version": "InfluxQL",
                _MARK: TAG,
                **secret,
            },
        }
        return {**content, "secureJsonData": {"httpHeaderValue1": f"Token {self.token}"}} if self.token else content


def read_boards(folder: Path | None = None) -> list[Mapping[str, Any]]:
    """The JSON of the boards in a folder (default: the repository's).

    Raises `UsageError` when there is none, or when one is no board.
    """
    place = folder or next((each for each in _BOARDS if each.is_dir()), _BOARDS[0])
    boards = [_read_board(path) for path in sorted(place.glob("*.json"))]
    if not boards:
        raise UsageError(f"there is no board in {place}", hint="Name the folder of the boards with --dashboards")
    return boards


def _read_board(path: Path) -> Mapping[str, Any]:
    hint = "Make the boards again with `make dashboards`, or name another folder with --dashboards"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is no file", hint=hint)
        board = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the board {path} cannot be read: {error}", hint=hint) from error
    if not (isinstance(board, dict) and isinstance(board.get("uid"), str) and isinstance(board.get("title"), str)):
        raise UsageError(f"{path} is no board: it has no uid or no title", hint=hint)
    return board


def push(api: GrafanaApi, boards: Sequence[Mapping[str, Any]], source: DataSource | None) -> Iterator[str]:
    """Push everything; yields a line on each object once it is done.

    Raises `UsageError` when a board of the same uid is not loadstone's, or when Grafana has no data source and none is
    given.
    """
    yield api.retried(lambda: _folder(api))
    yield api.retried(lambda: _source(api, source))
    for board in boards:
        yield api.retried(lambda board=board: _board(api, board))  # type: ignore[misc]


def _folder(api: GrafanaApi) -> str:
    if api.read(f"/api/folders/{FOLDER_UID}") is not None:
        return f"folder {FOLDER_UID}: exists"
    api.create("/api/folders", {"uid": FOLDER_UID, "title": FOLDER_TITLE})
    return f"folder {FOLDER_UID}: created"


def _source(api: GrafanaApi, source: DataSource | None) -> str:
    path = f"/api/datasources/uid/{DATA_SOURCE_UID}"
    found = api.read(path)
    subject = f"data source {DATA_SOURCE_UID}"
    if found is None:
        if source is None:
            raise UsageError(
                f"Grafana has no data source {DATA_SOURCE_UID}",
                hint="Give the address at which Grafana reaches InfluxDB with --influx-url",
            )
        api.create("/api/datasources", source.content())
        return f"{subject}: created"
    if source is None:
        return f"{subject}: exists"
    if (found.get("jsonData") or {}).get(_MARK) != TAG:
        return f"{subject}: left unchanged, because loadstone did not create it"
    content = source.content()
    if not source.token and all(found.get(key) == value for key, value in content.items()):
        return f"{subject}: unchanged"
    api.replace(path, content)  # a token cannot be read back, so it is written again
    return f"{subject}: updated"


def _board(api: GrafanaApi, board: Mapping[str, Any]) -> str:
    uid, subject = board["uid"], f"board {board['title']}"
    found = api.read(f"/api/dashboards/uid/{uid}")
    if found is None:
        _save(api, {**board, "id": None})
        return f"{subject}: created"
    meta, there = found["meta"], found["dashboard"]
    if meta.get("provisioned"):
        return f"{subject}: left unchanged, because it is provisioned from a file"
    if meta.get("folderUid") != FOLDER_UID or TAG not in (there.get("tags") or ()):
        raise UsageError(
            f"Grafana has a board with the uid {uid} that loadstone did not create ({there.get('title')!r})",
            hint="Give that board another uid, or delete it",
        )
    if there.get(_REVISION) == _revision(board):
        return f"{subject}: unchanged"
    _save(api, {**board, "id": there["id"], "version": there["version"]})
    return f"{subject}: updated"


def _save(api: GrafanaApi, board: Mapping[str, Any]) -> None:
    content = {**board, _REVISION: _revision(board)}
    options = {"folderUid": FOLDER_UID, "message": "loadstone grafana push", "overwrite": False}
    api.create("/api/dashboards/db", {"dashboard": content, **options})


def _revision(board: Mapping[str, Any]) -> int:
    """A checksum of a board without the fields that Grafana sets."""
    content = {key: value for key, value in board.items() if key not in {"id", "version", _REVISION}}
    return crc32(json.dumps(content, sort_keys=True).encode()) & _INT32_MAX
