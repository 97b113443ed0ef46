"""A reader of the documentation who has made two load tests and types a command, and what has to come of each."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.reader import segment_paths
from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.cli.main import main
from support.docs.blocks import ROOT
from support.loadstone_run import run_records
from support.run_files import flip
from support.studies import SETTINGS_STUDY

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support.faulty_influx import FaultyInflux
    from support.grafana_double import GrafanaDouble

CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
BOARD = "loadstone-run"


class Done(NamedTuple):
    """A command that has ended: its words, the folder in which it was typed, its exit code and what it said."""

    words: tuple[str, ...]
    folder: Path
    code: int
    said: str


class Reader:
    """See the module's docstring. ``runs`` are the records of the two runs, the older one first."""

    def __init__(
        self, folder: Path, target: str, others: tuple[GrafanaDouble, FaultyInflux], capture: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self._apart, self._target = folder, folder.parent, target
        self.grafana, self.influx = others
        self._capture = capture
        self.runs: list[dict[str, Any]] = []

    def has_made_runs(self) -> None:
        """Take in the two runs that were made, and put beside them what else commands speak of."""
        self.runs = run_records(self.folder / "results")
        assert len(self.runs) == 2
        shutil.copytree(self.folder / "results", self._apart / "backup" / "results")
        StudyFolder(self.folder / "results" / STUDIES / SETTINGS_STUDY.id).write(SETTINGS_STUDY)

    def types(self, words: tuple[str, ...]) -> None:
        """Type a command, and look at what it did."""
        name = next((name for name in EFFECTS if words[1 : 1 + len(name.split())] == (*name.split(),)), None)
        assert name, f"Say in EFFECTS of {Path(__file__).name} what has to come of `{' '.join(words)}`"
        folder = FOLDERS[name](self) if name in FOLDERS else self.folder
        if "--salvage" in words:
            folder = self._with_damage()
        given = [self._here(word) for word in words[1:]]
        self._capture.readouterr()
        with chdir(folder):
            code = main(given)
        EFFECTS[name](self, Done(tuple(given), folder, code, "".join(self._capture.readouterr())))

    def in_a_new_folder(self) -> Path:
        """A folder that holds nothing yet."""
        made = self._apart / "new"
        made.mkdir()
        return made

    def _with_damage(self) -> Path:
        """A folder whose results hold the newest run with a journal that lost a bit."""
        made = self._apart / "damaged"
        shutil.copytree(self._apart / "backup" / "results", made / "results")
        segment = segment_paths(RunFolder(made / "results" / self.runs[-1]["id"]).journal)[0]
        flip(segment, segment.stat().st_size // 2)
        return made

    def _here(self, word: str) -> str:
        """A word with what it stands for: a run's id, a place or an address."""
        base, latest = (str(run["id"]) for run in self.runs)
        backup = str(self._apart / "backup" / "results")
        places = {"BASE": base, "$BASE": base, "RUN": latest, "UID": BOARD, "/backup/results": backup}
        if re.match("https?://", word):
            return self.grafana.url if "grafana" in word else self.influx.url if ":8086" in word else self._target
        return places.get(word, word)


def _assert_lists(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert all(run["id"] in done.said for run in reader.runs)


def _assert_compared(reader: Reader, done: Done) -> None:
    assert done.code in CODES.values(), done.said
    assert next(word for word, code in CODES.items() if code == done.code) in done.said
    for name, suffix in (("--junit", ".xml"), ("--markdown", ".md")):
        if name in done.words:
            file = done.folder / done.words[done.words.index(name) + 1]
            assert file.suffix == suffix
            assert "p95" in (
                ET.tostring(ET.parse(file).getroot(), "unicode") if name == "--junit" else file.read_text()
            )
            file.unlink()


def _assert_exported(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    (file,) = done.folder.glob("*requests.csv")
    assert len(file.read_text().splitlines()) == 1 + reader.runs[-1]["requests"]


def _assert_reported(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert reader.runs[0]["id"] in (done.folder / done.said.strip()).read_text(), "the baseline is in it"


def _assert_verified(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert reader.runs[-1]["id"] in done.said
    assert "--all" not in done.words or reader.runs[0]["id"] in done.said


def _assert_recovered(reader: Reader, done: Done) -> None:
    if "--salvage" in done.words:
        salvaged = json.loads((done.folder / "results" / f"{reader.runs[-1]['id']}-salvaged" / "run.json").read_text())
        assert done.code == CODES[salvaged["verdict"]] == CODES["inconclusive"], done.said
        assert salvaged["salvage"]
    elif reader.runs[-1]["id"] in done.words:
        assert done.code == CODES[reader.runs[-1]["verdict"]], done.said
        assert run_records(done.folder / "results")[-1]["requests"] == reader.runs[-1]["requests"]
    else:
        assert done.code == 0, done.said
        assert "nothing is kept" in done.said


def _assert_begun(_: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert {path.name for path in done.folder.iterdir()} == {"locustfile.py", "load.toml", ".github"}
    assert done.words[done.words.index("--host") + 1] in (done.folder / "load.toml").read_text()


def _assert_pushed(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert BOARD in reader.grafana.boards
    assert reader.grafana.sources["loadstone-influxdb"]["url"] == reader.influx.url


def _assert_annotated(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert reader.runs[-1]["id"] in str(reader.grafana.annotations)


def _assert_backfilled(reader: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert len([key for key in reader.influx.points if "request" in str(key)]) >= reader.runs[-1]["requests"]


def _assert_shown(_: Reader, done: Done) -> None:
    assert done.code == 0, done.said
    assert SETTINGS_STUDY.id in done.said


def _assert_checked(_: Reader, done: Done) -> None:
    assert (done.code, "every setting is valid" in done.said) == (0, True), done.said


EFFECTS: dict[str, Callable[[Reader, Done], None]] = {
    "runs": _assert_lists,
    "show": _assert_verified,
    "compare": _assert_compared,
    "export": _assert_exported,
    "report": _assert_reported,
    "verify": _assert_verified,
    "recover": _assert_recovered,
    "init": _assert_begun,
    "grafana push": _assert_pushed,
    "grafana annotate": _assert_annotated,
    "influx backfill": _assert_backfilled,
    "capacity show": _assert_shown,
    "setup check": _assert_checked,
}
"""What has to come of a command, by its verb and action."""
FOLDERS: dict[str, Callable[[Reader], Path]] = {"init": Reader.in_a_new_folder, "setup check": lambda _: ROOT}
"""Where it is typed, if not in the folder of the load tests."""
